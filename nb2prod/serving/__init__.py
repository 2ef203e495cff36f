"""The scoring service. It imports nothing else of nb2prod, so that a package can carry it alone.

A model folder is checked before anything of it is loaded (`package_folder`), its signature is read without the model
(`signature`), a request becomes strict JSON (`strict_json`), then rows of the signature's types (`rows`, `protocol`),
then a table that a scorer answers (`scorer`, `workers`), then JSON again (`answers`). `app` joins these; `server` puts
them behind a port. Imports are relative, so that a copy of this folder runs under any name.
"""
