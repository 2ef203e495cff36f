"""The settings and the command line, from the parameters."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from nb2prod.core.pipeline import Parameter, ParameterType
from nb2prod.targets._project.code import Final, annotation_of
from nb2prod.targets._project.meaning import STATE, Meaning
from nb2prod.targets._project.modules import imports_for, module
from nb2prod.targets._project.names import every_name
from nb2prod.targets._project.text import Changes, changed

CONVERTERS = {
    "int": "int", "float": "float", "str": "str", "path": "Path", "date": "date.fromisoformat",
    "datetime": "datetime.fromisoformat",
}  # fmt: skip
IMPORTS = {"Path": "from pathlib import Path", "date.fromisoformat": "from datetime import date",
           "datetime.fromisoformat": "from datetime import datetime", "json.loads": "import json"}  # fmt: skip


def settings_module(found: Meaning, package: str) -> str:
    parameters = found.pipeline.parameters
    if not parameters:
        code = '@dataclass(frozen=True)\nclass Settings:\n    """There is nothing to set."""\n'
        return module("The settings of the pipeline.", ["from dataclasses import dataclass"], code)
    fields = [_field(found, parameter) for parameter in parameters]
    derived = [parameter for parameter in parameters if parameter.derived_from]
    head = ["@dataclass(frozen=True, kw_only=True)", "class Settings:", '    """What a run can be told."""', ""]
    code = "\n".join([*head, *(f"    {field}" for field in fields)])
    if derived:
        code = f"{DERIVED}\n\n{code}\n\n{_derivation(derived)}"
    tree = ast.parse(code)
    used = every_name([tree])
    imports = [*imports_for(found, [tree]), "from dataclasses import dataclass"]
    imports += ["from dataclasses import field"] if "field" in used else []
    imports += ["from typing import Any"] if "Any" in used else []
    imports += ["import os"] if "os" in used and "os" not in found.imports else []
    own = sorted(used & found.module_names.keys())
    imports += [f"from {package}.{STATE} import {name}" for name in own]
    return module("The settings of the pipeline, with their defaults.", imports, code)


DERIVED = "DERIVED: Any = object()  # stands for a value that the other settings give"


def _field(found: Meaning, parameter: Parameter) -> str:
    head = f"{parameter.name}: {annotation_of(found, parameter.name)}"
    note = f"  # {parameter.help}" if parameter.help else ""
    if parameter.secret:
        value = f'field(default_factory=lambda: os.environ["{parameter.name.upper()}"], repr=False)'
        return f"{head} = {value}{note}"
    if parameter.required:
        return f"{head}{note}"
    if parameter.derived_from:
        return f"{head} = DERIVED{note}"
    tree = ast.parse(parameter.expression, mode="eval").body
    fresh = isinstance(tree, ast.List | ast.Dict | ast.Set) or parameter.computed
    value = f"field(default_factory=lambda: {parameter.expression})" if fresh else parameter.expression
    return f"{head} = {value}{note}"


def _derivation(derived: Iterable[Parameter]) -> str:
    lines = ["    def __post_init__(self) -> None:"]
    for parameter in derived:
        own = Changes({name: f"self.{name}" for name in parameter.derived_from})
        expression = changed(parameter.expression, own)
        lines.append(f"        if self.{parameter.name} is DERIVED:")
        lines.append(f'            object.__setattr__(self, "{parameter.name}", {expression})')
    return "\n".join(lines)


# -- command line -----------------------------------------------------------------------------------------------------


def main_module(found: Meaning, package: str, final: Final, title: str) -> str:
    parameters = [parameter for parameter in found.pipeline.parameters if not parameter.secret]
    taken = {parameter.name for parameter in parameters}
    output = next(word for word in ("output", "output_folder", "results_folder") if word not in taken)
    options = [_option(parameter) for parameter in parameters]
    tuples = [parameter.name for parameter in parameters if _arguments(parameter.type)[2]]
    converters = {text for option in options for text in re.findall(r"type=(?:optional\()?([\w.]+)", option)}
    imports = [
        "import argparse", "import json", "import sys", "from pathlib import Path", "from typing import Any",
        "from collections.abc import Sequence",
        f"from {package}.pipeline import Results", f"from {package}.pipeline import run",
        f"from {package}.settings import Settings",
    ]  # fmt: skip
    imports += [IMPORTS[text] for text in converters if text in IMPORTS]
    imports += [f"from {package}.{STATE} import {p.type.name}" for p in parameters if p.type.kind == "enum"]
    imports += ["import joblib"] if final.model else []
    optional = any("optional(" in option for option in options)
    imports += ["from collections.abc import Callable"] if optional else []
    parts = [
        OPTIONAL if optional else "",
        PARSER.format(
            title=title.replace('"', "'").replace("%", "%%"),
            options="\n".join(f"    {option}" for option in options),
            output=output.replace("_", "-"),
        ),
        SAVE_HEAD + (SAVE_MODEL if final.model else "") + (SAVE_FIGURES if final.figures else ""),
        MAIN.format(output=output, tuples="".join(TUPLE.format(name=name) for name in tuples)),
    ]
    return module(f"Run the pipeline: `python -m {package} --help`.", imports, "\n\n\n".join(p for p in parts if p))


OPTIONAL = '''def optional(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """`none` is None, anything else what `convert` makes of it."""

    def value(text: str) -> Any:
        return None if text.lower() == "none" else convert(text)

    return value'''
PARSER = """def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description="{title}", argument_default=argparse.SUPPRESS)
{options}
    made.add_argument("--{output}", type=Path, default=Path("output"), help="folder for the results (default: output)")
    return made"""
SAVE_HEAD = """def save(results: Results, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(results.metrics, indent=2) + "\\n", encoding="utf-8")
"""
SAVE_MODEL = """    joblib.dump(results.model, folder / "model.joblib")
"""
SAVE_FIGURES = """    for name, figure in results.figures.items():
        figure.savefig(folder / f"{name}.png")
"""
TUPLE = """    if "{name}" in given:
        given["{name}"] = tuple(given["{name}"])
"""
MAIN = """def say(step: str, /, **values: Any) -> None:
    print(f"{{step}}: done", file=sys.stderr)


def main(words: Sequence[str] | None = None) -> None:
    given = vars(parser().parse_args(words))
    folder = given.pop("{output}")
{tuples}    results = run(Settings(**given), say)
    save(results, folder)
    for name, value in results.metrics.items():
        print(f"{{name}}: {{value:.6g}}", file=sys.stderr)


if __name__ == "__main__":
    main()"""


def _option(parameter: Parameter) -> str:
    words, _, _ = _arguments(parameter.type)
    default = "" if parameter.required else f"(default: {parameter.expression})"
    text = " ".join(part for part in (parameter.help, default) if part).replace("%", "%%")
    required = ["required=True"] if parameter.required else []
    name = parameter.name.replace("_", "-").strip("-")
    dest = [f'dest="{parameter.name}"'] if name.replace("-", "_") != parameter.name else []
    rest = [*dest, *words, *required, f"help={_quoted(text)}"]
    return f'made.add_argument("--{name}", {", ".join(rest)})'


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'


def _arguments(kind: ParameterType) -> tuple[list[str], str, bool]:
    """(words for add_argument, converter, whether a tuple is to be made of it)."""
    if kind.kind in CONVERTERS:
        return [f"type={CONVERTERS[kind.kind]}"], CONVERTERS[kind.kind], False
    if kind.kind == "bool":
        return ["action=argparse.BooleanOptionalAction"], "", False
    if kind.kind == "enum":
        return (
            [f"type={kind.name}.__getitem__", f"metavar={_quoted('{' + ','.join(n for n, _ in kind.choices) + '}')}"],
            "",
            False,
        )
    if kind.kind == "literal" and len({type(choice) for choice in kind.choices}) == 1:
        choice = type(kind.choices[0]).__name__
        if choice in ("str", "int", "float"):
            return [f"type={choice}", f"choices={list(kind.choices)!r}"], choice, False
    items = {CONVERTERS.get(item.kind, "") for item in kind.arguments}
    if kind.kind in ("list", "tuple") and len(items) == 1 and "" not in items:
        count = str(len(kind.arguments)) if kind.kind == "tuple" and not kind.variadic else '"*"'
        return [f"type={next(iter(items))}", f"nargs={count}"], "", kind.kind == "tuple"
    if kind.kind == "union":
        others = [member for member in kind.arguments if member.kind != "none"]
        if len(others) == 1 and others[0].kind in CONVERTERS:
            return [f"type=optional({CONVERTERS[others[0].kind]})"], "", False
    return ["type=json.loads", 'metavar="JSON"'], "json.loads", kind.kind == "tuple"
