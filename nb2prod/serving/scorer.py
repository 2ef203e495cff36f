"""What answers a table: a port, and the one way there is to fill it today, MLflow's own loader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from .errors import Refusal


class Scorer(Protocol):
    """A loaded model. `table` is what `rows.table` makes; it answers like the model, unchanged."""

    def predict(self, table: Any, parameters: Mapping[str, Any] | None) -> Any: ...


Loader = Callable[[Path], Scorer]  # of a checked folder


class MlflowScorer:
    """Any MLflow model with the python_function flavor, through `mlflow.pyfunc`."""

    def __init__(self, folder: Path) -> None:
        import mlflow.pyfunc

        self._model = mlflow.pyfunc.load_model(str(folder))

    def predict(self, table: Any, parameters: Mapping[str, Any] | None) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return self._model.predict(table, params=dict(parameters) if parameters else None)
        except MlflowException as error:
            # MLflow's own message quotes the data
            if getattr(error, "error_class", None) == "SCHEMA_ENFORCEMENT_FAILED":
                raise Refusal(422, "MLflow refuses the rows: they do not fit the model's signature") from None
            raise
