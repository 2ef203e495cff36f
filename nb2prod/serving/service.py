"""One model being served: it is loaded beside the event loop, takes requests, and stops.

The model's life: `start` loads it on a thread (the service is alive, but not ready), `stopping` is set by a signal
(requests are still answered, but the service calls itself not ready), `close` ends it.
"""

from __future__ import annotations

import atexit
import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .errors import Refusal, ServingError
from .gate import logged
from .limits import Limits
from .metrics import Metrics
from .package_folder import PackageFolder
from .rows import Rows
from .scorer import Loader, Outside, Scorer
from .tally import Tally
from .workers import Workers, busy

log = logging.getLogger("nb2prod.serving")


class Service:
    """`failure` is what kept the model from loading; `settled` is set when it is loaded or has failed."""

    def __init__(self, folder: PackageFolder, limits: Limits, loader: Loader) -> None:
        self.folder = folder
        self.limits = limits
        self.metrics = Metrics(name=folder.name, version=folder.version, digest=folder.digest)
        self.tally = Tally(self.metrics)
        self.workers = Workers(limits)
        self.stopping = False
        self.failure: ServingError | None = None
        self.settled = threading.Event()
        self._loader = loader
        self._scorer: Scorer | None = None
        self._copy: Path | None = None

    @property
    def is_ready(self) -> bool:
        return self._scorer is not None and not self.stopping and not self.workers.stuck

    @property
    def runtime(self) -> str:
        """What answers, empty while nothing is loaded."""
        return self._scorer.runtime if self._scorer is not None else ""

    def start(self) -> None:
        self.workers.open()
        threading.Thread(target=self._load, name="nb2prod-load", daemon=True).start()

    def close(self) -> None:
        self.stopping = True
        self.tally.write()
        self.workers.close()
        if self._copy is not None:
            shutil.rmtree(self._copy, ignore_errors=True)

    @property
    def scorer(self) -> Scorer:
        """The loaded model. Raises Refusal (503) while there is none."""
        if self._scorer is None:
            raise busy("the model is not loaded")
        return self._scorer

    def predict(self, rows: Rows, *, fill: bool, parameters: Mapping[str, Any] | None = None) -> Any:
        """The model's own answer. Raises Refusal: 503 while there is no model, 500 with an id when the model raises."""
        scorer = self.scorer
        return self._counted(lambda: scorer.predict(rows, fill=fill, parameters=parameters), len(rows))

    def predict_outside(self, rows: Rows, outside: Outside) -> Any:
        """All answers to rows of which a translation answers some. Raises Refusal as `predict` does, or the given one.

        It may load the model first, so that it must not be called where requests are read.
        """
        scorer = self.scorer
        return self._counted(lambda: scorer.predict_outside(rows, outside), len(rows))

    def predict_unchecked(self, data: Any, rows: int) -> Any:
        scorer = self.scorer
        return self._counted(lambda: scorer.predict_unchecked(data), rows)

    def _counted(self, call: Callable[[], Any], rows: int) -> Any:
        try:
            answer = call()
        except Refusal:
            raise
        except BaseException as error:  # noqa: BLE001 - a model may raise anything, SystemExit too
            raise self.failed(error) from None
        self.metrics.rows.inc(rows)
        return answer

    def failed(self, error: BaseException) -> Refusal:
        self.metrics.prediction_errors.inc()
        return Refusal(500, f"the model failed; the service's log has it under the id {logged(error)}")

    def _load(self) -> None:
        try:
            self._scorer = self._loader(self._place(), self.folder)
        except ServingError as error:
            self.failure = error
        except BaseException as error:
            log.exception("the model cannot be loaded")
            self.failure = ServingError(
                f"the model cannot be loaded: {type(error).__name__}: {error}",
                where=str(self.folder.path),
                fix="install its requirements: pip install -r requirements.txt from the package",
                exit_code=7,
            )
        self.settled.set()

    def _place(self) -> Path:
        """Where the model is loaded from: a plain folder itself, of a package a checked copy of its named files."""
        if self.folder.checksums is None:
            return self.folder.path
        try:
            self._copy = Path(tempfile.mkdtemp(prefix="nb2prod-serving-"))
        except OSError as error:
            raise ServingError(
                f"no room for a checked copy of the package: {error.strerror}",
                fix="set TMPDIR to a folder that can be written",
                exit_code=7,
            ) from error
        atexit.register(shutil.rmtree, self._copy, ignore_errors=True)  # when `close` is never reached
        return self.folder.copied_to(self._copy)
