"""A package is read: its checksums hold, it is one that nb2prod could have made, and nothing of it is loaded."""

from __future__ import annotations

import json
from pathlib import Path

from nb2prod.core.errors import NotProved
from nb2prod.core.model_package import ModelPackage
from nb2prod.core.policy import DEFAULT, Policy
from nb2prod.stages import trust


def read_package(folder: Path, policy: Policy = DEFAULT) -> ModelPackage:
    """The value of a package. Raises NotProved when a file is not as it was made, when it is forged, or not allowed.

    The folder stays where it is, and whoever can write to it can change it afterwards: what is to be loaded goes
    through `trust.admitted`.
    """
    contents = trust.look(folder, pickles=bool(policy.pickle_names))
    if not contents.is_package:
        raise NotProved(
            "it has no checksums, so it is no package; nothing of it was loaded",
            where=str(folder),
            fix="name a package's folder",
        )
    trust.refuse(contents, policy)
    return described(folder, contents.digest)


def described(folder: Path, digest: str) -> ModelPackage:
    """The value of a package that was looked at already. Raises NotProved when `package.json` does not say it."""
    from nb2prod.stages.package import as_package

    manifest = json.loads((folder / trust.MANIFEST).read_text(encoding="utf-8"))
    try:
        return as_package(manifest, folder, digest)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotProved(
            f"{trust.MANIFEST} does not say what a package says ({type(error).__name__}: {error}); "
            "nothing of it was loaded",
            where=str(folder),
            fix="make the package again, or fetch it again",
        ) from error
