"""The command line, from the parameters: `python -m mortgage --n-trees 100 --output results`.

A value whose type no text says (a table, a set, a time span) is set in code only; a secret comes from the environment.
"""

from __future__ import annotations

import re

from nb2prod.core.pipeline import Parameter, ParameterType
from nb2prod.targets._project.code import Final
from nb2prod.targets._project.defaults import for_people
from nb2prod.targets._project.meaning import STATE, Meaning
from nb2prod.targets._project.modules import module

CONVERTERS = {
    "int": "int", "float": "float", "str": "str", "path": "Path", "date": "date.fromisoformat",
    "datetime": "datetime.fromisoformat",
}  # fmt: skip
IMPORTS = {"Path": "from pathlib import Path", "date.fromisoformat": "from datetime import date",
           "datetime.fromisoformat": "from datetime import datetime", "json.loads": "import json"}  # fmt: skip


def main_module(found: Meaning, package: str, final: Final, title: str) -> str:
    parameters = [parameter for parameter in found.pipeline.parameters if is_option(parameter)]
    secrets = any(parameter.secret for parameter in found.pipeline.parameters)
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
    imports += [f"from {package}.{STATE} import {kind}" for p in parameters for kind in _enums(p.type)]
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
        MAIN.format(
            output=output,
            tuples="".join(TUPLE.format(name=name) for name in tuples),
            asked=ASKED if secrets else "",
            settings="settings" if secrets else "Settings(**given)",
        ),
    ]
    return module(f"Run the pipeline: `python -m {package} --help`.", imports, "\n\n\n".join(p for p in parts if p))


OPTIONAL = '''def optional(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """`none` is None, anything else what `convert` makes of it."""

    def value(text: str) -> Any:
        return None if text.lower() == "none" else convert(text)

    return value'''
PARSER = """def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="{title}", argument_default=argparse.SUPPRESS)
{options}
    parser.add_argument(
        "--{output}", type=Path, default=Path("output"), help="folder for the results (default: output)"
    )
    return parser"""
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
ASKED = """    try:
        settings = Settings(**given)
    except LookupError as error:
        sys.exit(str(error))
"""
MAIN = """def report(step: str, /, **values: Any) -> None:
    print(f"{{step}}: done", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> None:
    given = vars(build_parser().parse_args(arguments))
    folder = given.pop("{output}")
{tuples}{asked}    results = run({settings}, after_step=report)
    save(results, folder)
    for name, value in results.metrics.items():
        print(f"{{name}}: {{value:.6g}}", file=sys.stderr)


if __name__ == "__main__":
    main()"""


def _option(parameter: Parameter) -> str:
    words, _, _ = _arguments(parameter.type)
    default = "" if parameter.required else f"(default: {default_of(parameter)})"
    text = " ".join(part for part in (parameter.help, default) if part).replace("%", "%%")
    required = ["required=True"] if parameter.required else []
    name = parameter.name.replace("_", "-").strip("-")
    dest = [f'dest="{parameter.name}"'] if name.replace("-", "_") != parameter.name else []
    rest = [*dest, *words, *required, f"help={_quoted(text)}"]
    return f'parser.add_argument("--{name}", {", ".join(rest)})'


def is_option(parameter: Parameter) -> bool:
    """Whether the command line can give it: a secret never, a value that no text says neither."""
    return not parameter.secret and (_arguments(parameter.type)[1] != "json.loads" or _is_json(parameter.type))


def _is_json(kind: ParameterType) -> bool:
    known = ("any", "bool", "dict", "float", "int", "list", "literal", "none", "str", "tuple", "union")
    return kind.kind in known and all(_is_json(inner) for inner in kind.arguments)


def _enums(kind: ParameterType) -> list[str]:
    return [kind.name] if kind.kind == "enum" else [name for inner in kind.arguments for name in _enums(inner)]


def default_of(parameter: Parameter) -> str:
    """The default as the command line takes it."""
    return for_people(parameter, as_json=_arguments(parameter.type)[1] == "json.loads")


def _members(kind: ParameterType) -> str:
    return _quoted("{" + ",".join(name for name, _ in kind.choices) + "}")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'


def _arguments(kind: ParameterType) -> tuple[list[str], str, bool]:
    """(words for add_argument, converter, whether a tuple is to be made of it)."""
    if kind.kind == "str":
        return [], "", False
    if kind.kind in CONVERTERS:
        return [f"type={CONVERTERS[kind.kind]}"], CONVERTERS[kind.kind], False
    if kind.kind == "bool":
        return ["action=argparse.BooleanOptionalAction"], "", False
    if kind.kind == "enum":
        return (
            [f"type={kind.name}.__getitem__", f"metavar={_members(kind)}"],
            "",
            False,
        )
    if kind.kind == "literal" and len({type(choice) for choice in kind.choices}) == 1:
        choice = type(kind.choices[0]).__name__
        if choice in ("str", "int", "float"):
            converter = [] if choice == "str" else [f"type={choice}"]
            return [*converter, f"choices={list(kind.choices)!r}"], choice, False
    items = {CONVERTERS.get(item.kind, "") for item in kind.arguments}
    if kind.kind in ("list", "tuple") and len(items) == 1 and "" not in items:
        count = str(len(kind.arguments)) if kind.kind == "tuple" and not kind.variadic else '"*"'
        converter = [] if items == {"str"} else [f"type={next(iter(items))}"]
        return [*converter, f"nargs={count}"], "", kind.kind == "tuple"
    if kind.kind == "union":
        others = [member for member in kind.arguments if member.kind != "none"]
        if len(others) == 1 and others[0].kind in CONVERTERS:
            return [f"type=optional({CONVERTERS[others[0].kind]})"], "", False
        if len(others) == 1 and others[0].kind == "enum":
            return [f"type=optional({others[0].name}.__getitem__)", f"metavar={_members(others[0])}"], "", False
    return ["type=json.loads", 'metavar="JSON"'], "json.loads", kind.kind == "tuple"
