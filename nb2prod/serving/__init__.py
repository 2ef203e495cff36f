"""The scoring service. It imports nothing else of nb2prod, so that a package can carry it alone.

A model folder is checked before anything of it is loaded (`package_folder`), its signature and what it says of its
columns are read without the model (`signature`, `contract`), and the model or its proved ONNX translation is loaded
(`loading`, `scorer`, `onnx_scorer`). A request passes the `gate`, becomes strict JSON (`strict_json`), then rows of the
signature's types (`protocol`, `inference`, `rows`), which the model answers at once, on a thread, or together with
others that wait (`scoring`, `workers`, `batches`), then JSON again (`answers`); counters and log get it a moment later
(`tally`). `app` joins these and the pages for people (`pages`, `openapi`); `server` puts them behind a port, whose HTTP
`connections` reads. Imports are relative, so that a copy of this folder runs under any name.
"""
