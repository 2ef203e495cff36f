"""What is wrong or doubtful in notebooks, told, reported and corrected."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nb2prod import plugins
from nb2prod.api._pipelines import load_pipeline, offers, told_with
from nb2prod.core.errors import NotANotebook, StoreError, UsageError
from nb2prod.core.finding import Finding, Severity

if TYPE_CHECKING:
    from nb2prod.stages.check import Checked

ROUNDS = 20


def check(notebook: Path | str) -> tuple[Finding, ...]:
    """The findings about a notebook, without those that its comments or the project's settings silence."""
    return told_with(load_pipeline(notebook))[0]


def check_all(
    paths: Sequence[Path | str],
    *,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    fail_on: Severity | None = None,
    resolve: bool = False,
) -> tuple[Checked, ...]:
    """Every notebook, also those in folders. One that cannot be read is told as such, and the rest is checked.

    `resolve` is that of `load_pipeline`.
    """
    from nb2prod.stages.check import Checked
    from nb2prod.stages.check_settings import Wanted
    from nb2prod.stages.fix import fixes_for

    wanted = Wanted(tuple(ignore), tuple(select), fail_on)
    there = offers()
    done: list[Checked] = []
    for path in _notebooks(paths):
        try:
            pipeline = load_pipeline(path, resolve=resolve)
        except (NotANotebook, StoreError) as problem:
            done.append(Checked(str(path), problem=problem, failed=True))
            continue
        told, failed = told_with(pipeline, wanted)
        done.append(Checked(str(path), told, pipeline, None, failed, len(fixes_for(pipeline, told, there))))
    return tuple(done)


def _notebooks(paths: Sequence[Path | str]) -> Iterator[Path]:
    """The files named, and for a folder all notebooks in it that are not hidden or a checkpoint."""
    for path in map(Path, paths):
        if not path.is_dir():
            yield path
            continue
        inside = sorted(p for p in path.rglob("*.ipynb") if p.is_file())
        seen = [p for p in inside if not any(part.startswith(".") for part in p.relative_to(path).parts)]
        if not seen:
            raise UsageError(
                "there is no notebook in the folder", where=str(path), fix="name another folder, or a file"
            )
        yield from seen


def fix(
    notebook: Path | str, output: Path | str | None = None, *, select: Sequence[str] = (), ignore: Sequence[str] = ()
) -> tuple[Path | None, str, int]:
    """Correct what is certain in a copy: (the copy, what it changes as a diff, how many findings it corrects).

    The copy is `NAME.fixed.ipynb` beside the notebook unless `output` is given. None when there is nothing to correct.
    """
    import tempfile

    from nb2prod.stages import fix as stage
    from nb2prod.stages.check_settings import Wanted
    from nb2prod.storage import files

    source = Path(notebook)
    destination = Path(output) if output is not None else source.with_name(f"{source.stem}.fixed.ipynb")
    before = load_pipeline(source)
    stage.refuse_other_formats(source, before.notebook)
    wanted = Wanted(tuple(ignore), tuple(select))
    corrected, content, after = 0, source.read_bytes(), before
    with tempfile.TemporaryDirectory(prefix="nb2prod-") as folder:
        copy = Path(folder) / source.name
        for _ in range(ROUNDS):
            # settings are the original's: the copy that is read again lies elsewhere
            placed = dataclasses.replace(after, notebook=dataclasses.replace(after.notebook, path=source))
            fixes = stage.fixes_for(placed, told_with(placed, wanted)[0], offers())
            if not fixes:
                break
            corrected += len(fixes)
            content = stage.fixed(content, fixes)
            copy.write_bytes(content)
            after = load_pipeline(copy)
    if not corrected:
        return None, "", 0
    if destination.exists():
        raise UsageError(
            "the copy is there already", where=str(destination), fix="take it away, or name another with -o"
        )
    files.write_text(destination, content.decode())
    return destination, stage.difference(before.notebook, after.notebook), corrected


def report(checked: Sequence[Checked], *, format: str = "lines", width: int = 100, color: bool = False) -> str:
    """What was checked as `lines` (one a finding), a `page` for a terminal, `json`, `sarif` or `github` annotations."""
    from nb2prod.stages.reports import github, sarif, text

    if format == "page":
        return text.as_page(checked, width=width, color=color)
    if format == "lines":
        return text.as_lines(checked)
    if format == "github":
        return github.as_annotations(checked)
    from importlib.metadata import version

    from nb2prod.stages import documents
    from nb2prod.stages.check import pages

    if format == "json":
        return documents.as_text(documents.checked(checked))
    if format == "sarif":
        return documents.as_text(sarif.as_sarif(checked, pages(plugins.every("checks")), version("nb2prod")))
    raise UsageError(f"there is no format {format!r}", fix="lines, page, json, sarif or github")


def explain(code: str = "") -> str:
    """The page of one code of findings as Markdown, or of all. Raises UsageError for a code that there is not."""
    from nb2prod.stages.check import pages

    there = pages(plugins.every("checks"))
    if code and code not in there:
        raise UsageError(f"no finding has the code {code!r}", fix=f"there are: {', '.join(there)}")
    chosen = {code: there[code]} if code else there
    return "\n\n".join(f"## {name}\n\n{page}" for name, page in chosen.items())
