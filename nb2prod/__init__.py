"""nb2prod: a notebook is read, compiled into a pipeline of steps, checked, run, packaged, exported.

Importing it does nothing and loads no heavy library; the verbs load what they need when they are called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nb2prod.api import (
        check,
        export,
        inspect,
        load_pipeline,
        map,
        package,
        run,
        score,
        serve,
        sign,
        suggest,
        sync,
        sync_update,
        test,
        verify,
    )

__version__ = "0.1.0"
__all__ = [
    "check",
    "export",
    "inspect",
    "load_pipeline",
    "map",
    "package",
    "run",
    "score",
    "serve",
    "sign",
    "suggest",
    "sync",
    "sync_update",
    "test",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from nb2prod import api

        return getattr(api, name)
    raise AttributeError(f"module 'nb2prod' has no attribute {name!r}")


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext nb2prod`: register the magics."""
    from nb2prod import magics

    magics.register(shell)
