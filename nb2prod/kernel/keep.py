"""What a run keeps of a step, seen from inside the kernel: the data it reads, its metrics, plots, model and example.

`before` a step's cells the tables that it reads are digested. `after` them the names that the step's tags promise are
looked up and kept below `steps/STEP/`:

    plots/NAME.png           or .html for a figure that writes itself so
    model/NAME.pkl           with the notebook's module beside it, see `pickling`
    example/NAME.parquet     or another format, see `storage.artifacts`: the value as it is now, not as it will be
    predictions/NAME.parquet what the model predicts on the example, as soon as both are known
    truths/NAME.parquet      columns that may be the truth of the example's rows, see `truths`
    probe/rows.parquet       rows at the edges of what the model can be asked, with its outcomes in outcomes.json

Keeping leaves no trace in the notebook: the random streams of `random` and `numpy.random` go on as if nothing had
happened, names stay bound as they are, and a model with code of the notebook's predicts as a copy of itself. Libraries
are used only when the notebook has imported them.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import platform
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nb2prod.core.events import ArtifactKept, DatasetRead, Event, MetricMeasured
from nb2prod.core.pipeline import Pipeline, Step
from nb2prod.core.result import Artifact, ArtifactKind, Dataset
from nb2prod.kernel import asking, figures, pickling, probe_rows, truths
from nb2prod.kernel.keepable import CannotKeep, Namespace, looked_up, number_of, refuse_unfitted
from nb2prod.storage import artifacts, codec, requirements
from nb2prod.storage.asking import Asked, CannotAsk, classes_of, columns_of_fit
from nb2prod.storage.digests import CannotDigest, columns_of, digest, is_table, rows_of
from nb2prod.storage.files import digest_of, write_bytes, write_text
from nb2prod.storage.model_formats import type_name

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Known:
    """A model or example as it was kept: where it came from, its file, and for a model the notebook's own object."""

    step: str
    artifact: Artifact
    value: Any = None


class Keeper:
    """Keeps the values of one run, step after step. A step that runs again replaces what it kept."""

    def __init__(self, pipeline: Pipeline, directory: Path) -> None:
        self._pipeline = pipeline
        self._directory = directory
        self._model: _Known | None = None
        self._example: _Known | None = None

    def recall(self, artifacts: Iterable[Artifact]) -> None:
        """In another process than the one that kept them: the model and the example that earlier steps kept."""
        for artifact in artifacts:
            if artifact.kind == "example" and self._pipeline.example == (artifact.step, artifact.name):
                self._example = _Known(artifact.step or "", artifact)
            if artifact.kind == "model" and self._pipeline.model == (artifact.step, artifact.name):
                self._model = _Known(artifact.step or "", artifact)

    def before(self, step: str, namespace: Namespace) -> list[Event]:
        """The tables that the step is about to read."""
        found = self._pipeline.step(step)
        with undisturbed():
            tables = [(name, namespace[name]) for name in found.inputs if is_table(namespace.get(name))]
            datasets = [_dataset(name, step, value) for name, value in tables]
        return [DatasetRead(dataset=dataset) for dataset in datasets if dataset is not None]

    def after(self, step: str, namespace: Namespace) -> list[Event]:
        """What the step's tags promise. Raises CannotKeep for the first that is not there, or not usable."""
        events: list[Event] = []
        try:
            with undisturbed():
                # one by one into the list: what came before a refusal stays in it
                events.extend(self._kept(self._pipeline.step(step), namespace))
        except CannotKeep as refused:
            refused.events = tuple(events)
            raise
        return events

    def _kept(self, step: Step, namespace: Namespace) -> Iterator[Event]:
        for name in step.metrics:
            value = number_of(name, looked_up(name, "metric", namespace))
            yield MetricMeasured(step=step.name, name=name, value=value)
        for name in step.plots:
            yield self._plot(step.name, name, looked_up(name, "plot", namespace))
        if step.example is not None:
            example = looked_up(step.example, "example", namespace)
            yield self._keep_example(step.name, step.example, example, namespace)
            yield from self._keep_truths(step, example, namespace)
        if step.model is not None:
            yield self._keep_model(step.name, step.model, looked_up(step.model, "model", namespace), namespace)
        if step.example is not None or step.model is not None:
            yield from self._predictions(step.name, namespace)

    def _plot(self, step: str, name: str, value: Any) -> Event:
        try:
            path = figures.save(value, self._folder(step, "plots") / name)
        except figures.NoFigure as error:
            raise CannotKeep(name, f"plot {name} is not a figure: {error}", "tag the name of the figure") from error
        return self._event("plot", step, name, path)

    def _keep_example(self, step: str, name: str, value: Any, namespace: Namespace) -> Event:
        to_pickle = _pickler(name, self._pipeline, namespace)
        stored = artifacts.write(value, self._folder(step, "example") / name, to_pickle=to_pickle)
        details = {"type": type_name(type(value)), "rows": rows_of(value), "content": stored.content}
        event = self._event("example", step, name, stored.path, details)
        if self._pipeline.example == (step, name):
            self._example = _Known(step, event.artifact)
        return event

    def _keep_truths(self, step: Step, example: Any, namespace: Namespace) -> Iterator[Event]:
        """What may be the truth of the example's rows: columns that the step reads or binds."""
        if self._pipeline.example != (step.name, step.example):
            return
        bound = [one.name for one in self._pipeline.bindings if one.source == step.name and one.kind == "value"]
        found = truths.beside(example, {*step.inputs, *bound} - {step.example}, namespace)
        if found is not None:
            stored = artifacts.write(found, self._folder(step.name, "truths") / str(step.example))
            yield self._event("truths", step.name, str(step.example), stored.path)

    def _keep_model(self, step: str, name: str, model: Any, namespace: Namespace) -> Event:
        asked = self._asked(step, name, model, namespace)
        module = self._pipeline.module
        try:
            pickled = pickling.dump(model, name, module, namespace)
            function = pickling.dump(asked.function, asked.asking.function, module, namespace)
        except pickling.CannotPickle as error:
            raise CannotKeep(name, error.what, error.fix) from error
        path = write_bytes(self._folder(step, "model") / f"{name}.pkl", pickled.content)
        if module.source:
            write_text(path.with_name(f"{module.name}.py"), module.source)
        used = sorted({*pickled.used, *function.used})
        needed = {*pickled.packages, *(module.imports if used else ())}
        details = {
            "type": type_name(type(model)).replace(f"{pickling.MAIN}.", f"{module.name}."),
            "python": platform.python_version(),
            "uses": used,
            "asking": codec.plain(asked.asking),
            "classes": list(classes_of(model)),
            **requirements.installed(needed),
        }
        event = self._event("model", step, name, path, details)
        if self._pipeline.model == (step, name):
            self._model = _Known(step, event.artifact, model)
        return event

    def _predictions(self, step: str, namespace: Namespace) -> Iterator[Event]:
        """What the kept model says of the kept example; nothing yet when one of them is still to come."""
        if self._model is None or self._example is None:
            return
        name = self._model.artifact.name
        with pickling.hoisted(self._pipeline.module, namespace):
            read = [self._read(self._example.artifact) for _ in range(3)]
        model = self._model_now(namespace)
        if self._model.artifact.details["uses"]:
            model = _copied(model)
        model = self._asked(self._model.step, name, model, namespace)
        first, second = _predicted(name, model, read[0]), _predicted(name, model, read[1])
        stochastic = digest(first) != digest(second)
        if step != self._model.step and not stochastic:
            self._refuse_changed(name, first, read[2], namespace)
        to_pickle = _pickler(name, self._pipeline, namespace)
        stored = artifacts.write(first, self._folder(step, "predictions") / name, to_pickle=to_pickle)
        details = {"type": type_name(type(first)), "content": stored.content, "stochastic": stochastic}
        yield self._event("predictions", step, name, stored.path, details)
        if not stochastic:
            yield from self._probe(step, model, read[2])

    def _probe(self, step: str, model: Asked, example: Any) -> Iterator[Event]:
        """The rows with which every path to an answer is compared, and what the notebook's object makes of them."""
        for name, path in probe_rows.keep(example, model.predict, self._folder(step, "probe")):
            yield self._event("probe", step, name, path)

    def _model_now(self, namespace: Namespace) -> Any:
        """The model as it is at this point: the one that was kept, or in another process the notebook's own."""
        assert self._model is not None
        artifact = self._model.artifact
        if self._model.value is not None:
            return self._model.value
        if artifact.name in namespace:
            return namespace[artifact.name]
        path = self._directory / artifact.path
        content = artifacts.checked(path, path.read_bytes(), artifact.digest)
        return pickling.load(content, self._pipeline.module, namespace)

    def _asked(self, step: str, name: str, model: Any, namespace: Namespace) -> Asked:
        """A step's model with the way to ask it. Raises CannotKeep for one that is not fitted, or cannot answer."""
        refuse_unfitted(name, model)
        with pickling.hoisted(self._pipeline.module, namespace):
            try:
                return asking.asked(name, model, self._pipeline.step(step).predicts, self._pipeline.module, namespace)
            except CannotAsk as error:
                raise CannotKeep(name, f"model {name} {error.what}", error.fix) from error

    def _refuse_changed(self, name: str, predicted: Any, example: Any, namespace: Namespace) -> None:
        """The model was kept in an earlier step: is it still the one that was kept?"""
        assert self._model is not None
        path = self._directory / self._model.artifact.path
        kept = pickling.load(
            artifacts.checked(path, path.read_bytes(), self._model.artifact.digest), self._pipeline.module, namespace
        )
        if digest(_predicted(name, self._asked(self._model.step, name, kept, namespace), example)) != digest(predicted):
            raise CannotKeep(
                name,
                f"model {name} was changed after step {self._model.step}, in which it was kept: "
                "it predicts something else now",
                f"tag model:{name} in the last step that changes it",
            )

    def _read(self, artifact: Artifact) -> Any:
        return artifacts.read(self._directory / artifact.path, artifact.digest)

    def _folder(self, step: str, kind: str) -> Path:
        folder = self._directory / "steps" / step / kind
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _event(
        self, kind: ArtifactKind, step: str, name: str, path: Path, details: Mapping[str, Any] | None = None
    ) -> ArtifactKept:
        relative = path.relative_to(self._directory).as_posix()
        return ArtifactKept(artifact=Artifact(kind, name, relative, digest_of(path), step, dict(details or {})))


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """The random streams of `random` and `numpy.random` afterwards go on from where they were."""
    own = random.getstate()
    numpy_random = sys.modules.get("numpy.random")
    others = numpy_random.get_state() if numpy_random is not None else None
    try:
        yield
    finally:
        random.setstate(own)
        if numpy_random is not None:
            numpy_random.set_state(others)


def _dataset(name: str, step: str, value: Any) -> Dataset | None:
    try:
        return Dataset(name, step, digest(value), rows_of(value), columns_of(value))
    except CannotDigest as error:
        logger.warning("the data %s, which step %s reads, has no digest: %s", name, step, error)
        return None


def _copied(model: Any) -> Any:
    """Code of the notebook's may change the model when it predicts; the notebook's own model must stay as it is."""
    try:
        return copy.deepcopy(model)
    except Exception as error:  # noqa: BLE001 - a model that cannot be copied was pickled already; use it as it is
        logger.warning("a %s cannot be copied (%s): predicting with the notebook's own", type(model).__name__, error)
        return model


def _predicted(name: str, model: Any, example: Any) -> Any:
    """The model's predictions; what its code prints is no part of the notebook's output."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            return model.predict(example)
        except Exception as error:
            lacking = _lacking(model, example)
            raise CannotKeep(
                name,
                f"model {name} cannot predict on the example{lacking}: {type(error).__name__}: {error}",
                "tag as example what the model's predict takes: the columns that it was fitted on",
            ) from error


def _lacking(asked: Any, example: Any) -> str:
    """The columns that the model was fitted on and the example has not, said in a bracket."""
    wanted, there = columns_of_fit(getattr(asked, "model", None)), getattr(example, "columns", None)
    lacking = [] if there is None else [column for column in wanted if column not in there]
    return f" (it lacks {', '.join(lacking)}, which fit saw)" if lacking else ""


def _pickler(name: str, pipeline: Pipeline, namespace: Namespace) -> Callable[[Any], bytes]:
    def to_pickle(value: Any) -> bytes:
        try:
            return pickling.dump(value, name, pipeline.module, namespace).content
        except pickling.CannotPickle as error:
            raise CannotKeep(name, error.what, error.fix) from error

    return to_pickle
