"""What holds for every test: MLflow's global settings and the log are as it found them."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator

import pytest

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture(autouse=True)
def _mlflow_as_it_was() -> Iterator[None]:
    """MLflow keeps its store in a global and in the environment; the next test begins with neither."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    yield
    if "mlflow" in sys.modules:
        import mlflow

        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # None is how it is unset
        mlflow.set_registry_uri("")
    if before is not None:
        os.environ["MLFLOW_TRACKING_URI"] = before


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """The command sends the log to the standard error of its moment, which for the next test is a closed file."""
    yield
    for handler in logging.root.handlers[:]:
        if type(handler) is logging.StreamHandler:
            logging.root.removeHandler(handler)
