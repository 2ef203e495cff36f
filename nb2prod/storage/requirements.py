"""Which installed distributions a set of imported packages comes from: `sklearn` is `scikit-learn==1.9.1`."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any


def installed(packages: Iterable[str]) -> dict[str, list[str]]:
    """`requirements` pins the distributions of these top-level packages; `local` are those that no distribution has."""
    outside = sorted({name for name in packages if name and name not in sys.stdlib_module_names})
    found = {name: _distributions().get(name, ()) for name in outside}
    pins = {f"{owner}=={importlib.metadata.version(owner)}" for owners in found.values() for owner in owners}
    return {"requirements": sorted(pins), "local": [name for name, owners in found.items() if not owners]}


def pin(distribution: str) -> str:
    """`name==version` of a distribution as it is installed here; empty when it is not."""
    try:
        return f"{distribution}=={importlib.metadata.version(distribution)}"
    except importlib.metadata.PackageNotFoundError:
        return ""


@cache
def _distributions() -> Mapping[str, Any]:
    return importlib.metadata.packages_distributions()
