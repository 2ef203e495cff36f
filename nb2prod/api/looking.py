"""Looking at a notebook: nothing of it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nb2prod.api._pipelines import findings, load_pipeline
from nb2prod.core.errors import UsageError

if TYPE_CHECKING:
    from nb2prod.stages.suggest import Suggestion


def inspect(notebook: Path | str, *, format: str = "text", width: int = 80, color: bool = False) -> str:
    """The pipeline as text, json, svg or mermaid."""
    pipeline = load_pipeline(notebook)
    if format == "json":
        from nb2prod.stages import documents

        return documents.as_text(documents.inspected(pipeline))
    from nb2prod.drawing import draw

    if format == "svg":
        return draw.as_svg(pipeline)
    if format == "mermaid":
        return draw.as_mermaid(pipeline)
    if format == "text":
        return draw.as_text(pipeline, width=width, color=color)
    raise UsageError(f"there is no format {format!r}", fix="text, json, svg or mermaid")


def suggest(notebook: Path | str, output: Path | str | None = None, *, overwrite: bool = False) -> Suggestion:
    """Tags for the untagged cells of a notebook, with reasons; nothing runs, and the notebook stays as it is.

    With `output`, also write the tagged copy there (a notebook file, whatever the input is).
    """
    from nb2prod.stages import suggest as suggesting
    from nb2prod.stages.read import read
    from nb2prod.storage import files

    suggestion = suggesting.suggest(read(Path(notebook)), findings)
    if output is not None:
        path = Path(output)
        if path.exists() and path.samefile(notebook):
            raise UsageError("the output would overwrite the input", where=str(path), fix="name another file")
        if path.exists() and not overwrite:
            raise UsageError("there is such a file already", where=str(path), fix="name another, or say --overwrite")
        files.write_text(path, suggesting.document_of(suggestion))
    return suggestion
