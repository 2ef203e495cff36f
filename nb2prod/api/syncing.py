"""A project and the notebook that it was exported from."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nb2prod import plugins
from nb2prod.api._pipelines import findings
from nb2prod.api.handing_over import LEFT_BEHIND
from nb2prod.api.running import result_of
from nb2prod.core.errors import UsageError
from nb2prod.core.notebook import Notebook

if TYPE_CHECKING:
    from nb2prod.core.origin import Origin
    from nb2prod.core.pipeline import Pipeline
    from nb2prod.core.result import Result
    from nb2prod.stages.sync import Back, Forward

TARGET = "project"


def sync(project: Path | str, notebook: Path | str, output: Path | str | None = None) -> Back:
    """What engineers changed in the functions of an exported project, as changes of the notebook's cells.

    With `output`, a copy of the notebook with those changes is written there; the notebook itself never is. Nothing is
    executed. Raises NotProved when the notebook has changed too: then `sync_update` comes first.
    """
    from nb2prod.stages import sync as stage
    from nb2prod.stages.read import read
    from nb2prod.stages.syncing.project_folder import read_origin

    folder = Path(project)
    _refuse_output(Path(notebook), output)
    earlier = read_origin(folder)
    there = read(Path(notebook))

    def outline(changed: Notebook) -> Origin:
        target = plugins.find("targets", TARGET)
        made: Origin = target.outline(
            _pipeline(changed, earlier), allow_shell=earlier.allow_shell, package=earlier.package
        )
        return made

    found = stage.back(folder, there, outline)
    if output is not None:
        _write_copy(found, Path(output))
    return found


def sync_update(
    project: Path | str, notebook: Path | str, *, run: Path | str | None = None, write_conflicts: bool = False
) -> Forward:
    """Merge what changed in the notebook into its exported project; `run` is a run of it, for the project's test.

    While there is a conflict nothing is written, unless `write_conflicts` says to leave markers in the files.
    """
    from nb2prod.stages import sync as stage
    from nb2prod.stages.read import read
    from nb2prod.stages.syncing.project_folder import read_origin

    folder = Path(project)
    earlier = read_origin(folder)
    there = read(Path(notebook))
    with _exported(there, earlier, run) as made:
        merge = stage.forward(folder, made)
        if not merge.conflicts or write_conflicts:
            stage.write(merge, made)
    return merge


def _refuse_output(notebook: Path, output: Path | str | None) -> None:
    if output is None:
        return
    if Path(output).suffix != ".ipynb":
        raise UsageError("the copy is an .ipynb file", where=str(output), fix="give it a name that ends so")
    if Path(output).exists():
        raise UsageError("the copy is there already", where=str(output), fix="take it away, or name another with -o")


@contextmanager
def _exported(notebook: Notebook, earlier: Origin, run: Path | str | None = None) -> Iterator[Path]:
    """A new export of a notebook, under the names of an earlier one, in a folder that goes away again."""
    from functools import partial
    from types import SimpleNamespace

    from nb2prod.stages.export import export

    pipeline = _pipeline(notebook, earlier)
    _refuse_without_data(notebook, earlier)
    options = {"allow_shell": earlier.allow_shell, "earlier": earlier, "run": _result(pipeline, run)}
    target = SimpleNamespace(export=partial(plugins.find("targets", TARGET).export, **options))
    with tempfile.TemporaryDirectory(prefix="nb2prod-") as folder:
        made = Path(folder) / "project"
        export(pipeline, target, made)
        yield made


def _pipeline(notebook: Notebook, earlier: Origin) -> Pipeline:
    """What the notebook means, under the name that it had; it must be fit for an export."""
    from nb2prod.stages.check import refuse_errors
    from nb2prod.stages.compile import compile

    pipeline = compile(dataclasses.replace(notebook, path=notebook.path.with_name(earlier.notebook)))
    there = findings(pipeline)
    refuse_errors(pipeline, there)
    refuse_errors(pipeline, [finding for finding in there if finding.code in LEFT_BEHIND], isolated=True)
    return pipeline


def _refuse_without_data(notebook: Notebook, earlier: Origin) -> None:
    """A copy of the notebook in another folder does not find its data, and the project would lose them."""
    for name in earlier.data:
        named = any(Path(name).name in cell.source for cell in notebook.cells)
        if named and not (notebook.folder / name).exists():
            raise UsageError(
                f"{name} is not beside the notebook, as it was when the project was made",
                where=str(notebook.path),
                fix="put the notebook where its data are",
            )


def _result(pipeline: Pipeline, run: Path | str | None) -> Result | None:
    return None if run is None else result_of(pipeline, run)


def _write_copy(found: Back, output: Path) -> None:
    import json

    from nb2prod.stages.fix import rewritten
    from nb2prod.storage import files, notebook_file

    source = found.before.path
    content = source.read_bytes()
    if not (source.suffix == ".ipynb" and found.before.format.startswith("4.")):
        document = notebook_file.parsed(source, content).content
        content = (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()
    files.write_bytes(output, rewritten(content, found.edits, clear=True))
