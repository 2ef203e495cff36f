"""The process that proves a package needs no more than the package."""

from __future__ import annotations

import pytest

from nb2prod.stages import proof


@pytest.mark.parametrize(
    ("requirements", "modules"),
    [
        (["mlflow-skinny==3.17.2", "scikit-learn==1.9.1", "skops==0.16.0"], ("mlflow.sklearn", "skops.io")),
        (["mlflow-skinny==3.17.2", "scikit-learn==1.9.1", "cloudpickle==3.1.2"], ("mlflow.sklearn",)),
        (["mlflow-skinny==3.17.2", "xgboost-cpu==3.1.0"], ()),
    ],
)
def test_it_imports_early_what_the_package_requires_and_nothing_else(
    requirements: list[str], modules: tuple[str, ...]
) -> None:
    """A model in a pickle has no skops in its lock: the process died of it in an environment made from that."""
    assert proof.imported_early(requirements) == ("mlflow.pyfunc", *modules)
