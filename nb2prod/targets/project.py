"""A project that an engineer would have written: a package of step functions, settings, a command line, tests.

    src/mortgage/steps.py        a function for each step, with the author's lines, comments and prose
    src/mortgage/functions.py    the notebook's functions and classes
    src/mortgage/pipeline.py     the steps in their order, values handed on by name
    src/mortgage/settings.py     the parameters, typed; `python -m mortgage --help` sets them
    tests/                       the notebook's test cells, and the numbers of a run of the notebook
    data/                        what the notebook reads
    pyproject.toml, requirements.lock, Makefile, README.md, Dockerfile, .github/workflows/ci.yml
    .notebook.json               which lines came from which cell: for the way back

Nothing of nb2prod is in it. What cannot be said that way with the same meaning is refused.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import keyword
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nb2prod.core.errors import NotebookFailed, StoreError, UsageError
from nb2prod.core.origin import FILE, Origin
from nb2prod.core.pipeline import Pipeline
from nb2prod.core.result import Result
from nb2prod.storage import codec, templates
from nb2prod.targets._project import code, command_line, environment, origin, settings, testing
from nb2prod.targets._project.code import Final
from nb2prod.targets._project.data import DataFiles, data_files
from nb2prod.targets._project.flow import with_flow
from nb2prod.targets._project.hoisting import hoist
from nb2prod.targets._project.meaning import Meaning, Unit, meaning
from nb2prod.targets._project.names import stored_in
from nb2prod.targets._project.problems import Problems
from nb2prod.targets._project.style import Excused, excused, formatted

FILES = {
    "Makefile.j2": "Makefile", "README.md.j2": "README.md", "Dockerfile.j2": "Dockerfile", "gitignore": ".gitignore",
    "dockerignore": ".dockerignore", "ci.yml.j2": ".github/workflows/ci.yml", "conftest.py.j2": "tests/conftest.py",
}  # fmt: skip
RECORDED = "tests/recorded.json"
# names of the project's own folders and modules, and what an installed Python has beside its documented modules
TAKEN = frozenset(str.split("build conftest data dist functions output pipeline settings src steps test tests"))


@dataclass(frozen=True, slots=True)
class Content:
    """What goes into a project, before any of it is written."""

    found: Meaning
    units: tuple[Unit, ...]
    package: str
    title: str
    modules: Mapping[str, str]
    tests: Mapping[str, str]
    data: DataFiles
    recorded: Mapping[str, Any] | None
    notes: tuple[str, ...]


def export(
    pipeline: Pipeline,
    destination: Path,
    *,
    run: Result | None = None,
    allow_shell: bool = False,
    earlier: Origin | None = None,
) -> tuple[Path, ...]:
    """Write the project. `run` is a run of the notebook, whose metrics and prints a test of the project compares.

    `earlier` is what an earlier export left: the package keeps its name then, and a project that has such a test keeps
    what it compares with. Raises FindingsError when the notebook says what a project cannot.
    """
    if run is not None:
        _refuse_run(pipeline, run)
    content = content_of(pipeline, run, allow_shell, earlier.package if earlier is not None else "")
    if run is None and earlier is not None and RECORDED in earlier.texts:
        content = dataclasses.replace(content, recorded=json.loads(earlier.texts[RECORDED]))
    _write(content, destination, allow_shell)
    return tuple(sorted(path for path in destination.rglob("*") if path.is_file()))


def outline(pipeline: Pipeline, *, allow_shell: bool = False, package: str = "") -> Origin:
    """The modules that an export would write, in memory: what the code would be, and where it comes from.

    Raises FindingsError as `export` does.
    """
    content = content_of(pipeline, None, allow_shell, package)
    with tempfile.TemporaryDirectory(prefix="nb2prod-") as name:
        folder = Path(name)
        source = f"src/{content.package}"
        (folder / source).mkdir(parents=True)
        for file, text in content.modules.items():
            (folder / source / file).write_text(text, encoding="utf-8")
        formatted(folder, isolated=True)
        written = [f"{source}/{file}" for file in content.modules]
        return origin.origin_of(content.found, content.units, content.package, folder, written, ())


def _refuse_run(pipeline: Pipeline, run: Result) -> None:
    if run.failure is not None or run.status != "finished":
        raise NotebookFailed("the run did not end well", where=run.directory, fix="name a run that finished")
    other = [
        p.name
        for p in pipeline.parameters
        if p.name in run.parameters and not p.secret and not p.computed and not p.derived_from and not p.required
        and codec.plain(run.parameters[p.name]) != codec.plain(p.default)
    ]  # fmt: skip
    if other:
        raise UsageError(
            f"the run was told another {other[0]} than the notebook says",
            where=run.directory,
            fix="name a run with the notebook's own parameters",
        )


# -- content ----------------------------------------------------------------------------------------------------------


def content_of(pipeline: Pipeline, run: Result | None, allow_shell: bool, package: str = "") -> Content:
    problems = Problems(pipeline.notebook.path)
    found = hoist(meaning(pipeline, problems, allow_shell=allow_shell))
    tests = testing.prepared(found)
    needed: list[set[str]] = [set() for _ in range(len(found.units) + 1)]
    for test in tests:
        needed[test.after] |= set(test.values)
    final = _final(found)
    units = with_flow(found, needed, final.names - set(found.state) - found.parameters.keys())
    problems.refuse()
    package, title = package or _package(pipeline, found), _title(pipeline)
    modules = {
        "__init__.py": f'"""{title}{"." if title[-1:].isalnum() or title.endswith(")") else ""}"""\n',
        "functions.py": code.functions_module(found, package),
        "steps.py": code.steps_module(found, units, package),
        "settings.py": settings.settings_module(found, package),
        "pipeline.py": code.pipeline_module(found, units, package, final, needed, title),
        "__main__.py": command_line.main_module(found, package, final, title),
    }
    files = testing.test_modules(found, tests, units, package)
    _refuse_local_modules(found, [*modules.values(), *files.values()])
    trees = [ast.parse(text) for name, text in modules.items() if name in ("functions.py", "steps.py", "settings.py")]
    data = data_files(pipeline, [*trees, *(ast.parse(text) for text in files.values())], _prose(pipeline), problems)
    problems.refuse()
    recorded = None if run is None else _recorded(run, units, final)
    kept = {name: text for name, text in modules.items() if text}
    return Content(found, tuple(units), package, title, kept, files, data, recorded, tuple(_notes(found)))


def _final(found: Meaning) -> Final:
    """What a run gives: of each tagged value that a later step binds anew, nobody knows which is meant."""
    steps = found.pipeline.steps
    for position, unit in enumerate(found.units):
        step = next((step for step in steps if step.name == unit.step), None)
        tagged = () if step is None else (*step.metrics, *step.plots, *([step.model] if step.model else []))
        for later in found.units[position + 1 :]:
            for name in sorted(set(tagged) & stored_in(s.node for s in later.statements)):
                what = f"`{name}` is a result of step {unit.step}, and step {later.step} binds it anew"
                found.problems.add(later.cell, None, what, "give the later one its own name")
    model = found.pipeline.model
    return Final(
        tuple(dict.fromkeys(name for step in steps for name in step.metrics)),
        model[1] if model else None,
        tuple(dict.fromkeys(name for step in steps for name in step.plots)),
    )


def _package(pipeline: Pipeline, found: Meaning) -> str:
    word = re.sub(r"\W+", "_", pipeline.notebook.name).strip("_").lower() or "notebook"
    word = f"n{word}" if word[0].isdigit() else word
    imports = [text for texts in found.imports.values() for text in texts if " " in text]
    taken = (
        keyword.iskeyword(word)
        or word in sys.stdlib_module_names
        or word in TAKEN
        or word in {text.split()[1].partition(".")[0] for text in imports}
        or word in environment.modules_of(imports)
    )
    return f"{word}_pipeline" if taken else word


def _title(pipeline: Pipeline) -> str:
    for cell in pipeline.notebook.cells:
        heading = re.search(r"^#\s+(.+)$", cell.source, re.MULTILINE) if cell.kind == "markdown" else None
        if heading:
            return heading[1].strip().replace("\\", "").replace('"', "'").rstrip(".")
    return pipeline.notebook.name.replace("_", " ").replace("\\", "").replace('"', "'")


def _refuse_local_modules(found: Meaning, sources: Iterable[str]) -> None:
    folder = found.pipeline.notebook.folder
    names = {text.split()[1].partition(".")[0] for texts in found.imports.values() for text in texts if " " in text}
    used = "\n".join(sources)
    for name in sorted(names):
        there = (folder / f"{name}.py").exists() or (folder / name / "__init__.py").exists()
        if there and re.search(rf"^\s*(import|from) {re.escape(name)}\b", used, re.MULTILINE):
            what = f"it imports `{name}`, a file beside the notebook, which does not go into the project"
            found.problems.add(None, None, what, "put its functions into the notebook, or install it as a package")
        if name == "":
            found.problems.add(None, None, "a relative import", "import from an installed package")


def _recorded(run: Result, units: Sequence[Unit], final: Final) -> dict[str, Any]:
    printed = {step.name: step.printed for step in run.steps}
    comparable = [unit.step for unit in units if unit.step and unit.comparable]
    return {
        "metrics": {name: value for name, value in run.metrics.items() if name in final.metrics},
        "printed": {name: printed.get(name, "") for name in comparable},
    }


def _notes(found: Meaning) -> Iterable[str]:
    """What the notebook says of steps that functions do not have."""
    for step in found.pipeline.steps:
        words = [f"retries:{step.retries}" if step.retries else "", f"timeout:{step.timeout:g}" if step.timeout else ""]
        if any(words):
            yield f"step {step.name}: {', '.join(filter(None, words))} is left to whatever runs the project"


# -- files ------------------------------------------------------------------------------------------------------------


def _write(content: Content, destination: Path, allow_shell: bool) -> None:
    source = destination / "src" / content.package
    for folder in (source, destination / "tests", destination / ".github" / "workflows"):
        folder.mkdir(parents=True, exist_ok=True)
    for name, text in content.modules.items():
        (source / name).write_text(text, encoding="utf-8")
    for name, text in content.tests.items():
        (destination / "tests" / name).write_text(text, encoding="utf-8")
    for path in content.data.copied:
        target = destination / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(content.found.pipeline.notebook.folder / path, target)
    values = _values(content)
    for template, name in FILES.items():
        (destination / name).write_text(templates.render(f"project/{template}", values), encoding="utf-8")
    if content.recorded is not None:
        text = json.dumps(content.recorded, indent=2, ensure_ascii=False)
        (destination / RECORDED).write_text(text + "\n", encoding="utf-8")
        parity = templates.render("project/test_parity.py.j2", values)
        (destination / "tests" / "test_parity.py").write_text(parity, encoding="utf-8")
    wanted: list[environment.Need] = values["needs"]
    (destination / "requirements.lock").write_text("\n".join(environment.lock(wanted)) + "\n", encoding="utf-8")
    _write_pyproject(destination, values, Excused())
    formatted(destination)
    _write_pyproject(destination, values, excused(destination, content.found.declared))
    _refuse_broken(destination)
    _remember(content, destination, allow_shell)


def _remember(content: Content, destination: Path, allow_shell: bool) -> None:
    """Leave what the way back to the notebook needs."""
    there = (path.relative_to(destination).as_posix() for path in destination.rglob("*") if path.is_file())
    copied = content.data.copied
    written = sorted(set(there) - set(copied))
    made = origin.origin_of(content.found, content.units, content.package, destination, written, copied)
    made = dataclasses.replace(made, allow_shell=allow_shell)
    (destination / FILE).write_text(origin.as_text(made), encoding="utf-8")


def _values(content: Content) -> dict[str, Any]:
    wanted, unknown = environment.needs(content.modules.values())
    missing = [name for name in unknown if name != content.package]
    notes = [*content.notes, *(f"{name} is imported, and no installed package offers it" for name in missing)]
    parameters = content.found.pipeline.parameters
    in_code = [p.name for p in parameters if not p.secret and not command_line.is_option(p)]
    notes += [f"{', '.join(in_code)}: set in code only, as no command line has such values"] if in_code else []
    return {
        "package": content.package,
        "project": re.sub(r"[^a-z0-9.]+", "-", content.package.encode("ascii", "ignore").decode().lower()).strip("-.")
        or "project",
        "title": content.title,
        "prose": _prose(content.found.pipeline),
        "notebook": content.found.pipeline.notebook.path.name,
        "parameters": parameters,
        "defaults": {parameter.name: command_line.default_of(parameter) for parameter in parameters},
        "modules": tuple(content.modules),
        "secrets": [settings.variable(p) for p in parameters if p.secret and not p.derived_from],
        "steps": [unit.step for unit in content.units if unit.step],
        "state": content.found.state,
        "needs": wanted,
        "tools": environment.tools(),
        "data": content.data,
        "recorded": content.recorded,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "notes": notes,
        "folders": sorted({path.partition("/")[0] for path in content.data.copied}),
    }


def _prose(pipeline: Pipeline) -> str:
    first = next((cell.source for cell in pipeline.notebook.cells if cell.kind == "markdown"), "")
    return re.sub(r"^#\s+.+\n?", "", first.strip(), count=1).strip()


def _write_pyproject(destination: Path, values: Mapping[str, Any], left: Excused) -> None:
    text = templates.render("project/pyproject.toml.j2", {**values, "ignored": left.rules, "lenient": left.errors})
    (destination / "pyproject.toml").write_text(text, encoding="utf-8")


def _refuse_broken(destination: Path) -> None:
    """Every module is Python, and none reads a name that it does not have."""
    for path in destination.rglob("*.py"):
        try:
            compile(path.read_text(encoding="utf-8"), path.name, "exec", dont_inherit=True)
        except SyntaxError as error:
            what = f"the project would be broken: {error.msg}, line {error.lineno}"
            raise StoreError(what, where=path.name, fix="report this notebook") from error
