"""What verbs have in common: options, and reading what was given."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from nb2prod.core.result import Result

Command = TypeVar("Command", bound=Callable[..., Any])
PATH = click.Path(path_type=Path)


def parameters(command: Command) -> Command:
    one = click.option("-p", "--parameter", "given", nargs=2, multiple=True, metavar="NAME VALUE", help="Repeatable.")
    many = click.option("-f", "--parameters-file", "file", type=PATH, help="Parameters as YAML or JSON.")
    return one(many(command))


def scheduler(command: Command) -> Command:
    return click.option(
        "--scheduler", default="", metavar="ADDRESS", help="Dask: a scheduler that is there (tcp://HOST:8786)."
    )(command)


def store(command: Command) -> Command:
    return click.option(
        "--store",
        default=".nb2prod/store",
        show_default=True,
        metavar="PATH|URL",
        help="Where values rest.",
    )(command)


policy = click.option(
    "--policy", metavar="FILE|default", help="What a package may do.  [default: policy.toml here, or nb2prod's own]"
)


as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def texts(given: Iterable[tuple[str, str]]) -> dict[str, str]:
    from nb2prod.core.errors import BadParameter

    texts: dict[str, str] = {}
    for name, text in given:
        if name in texts:
            raise BadParameter(f"parameter {name} is given twice", fix="give it once")
        texts[name] = text
    return texts


def from_file(file: Path | None) -> Mapping[str, Any]:
    if file is None:
        return {}
    import yaml

    from nb2prod.core.errors import BadParameter, StoreError

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"cannot be read: {error.strerror}", where=str(file)) from error
    except yaml.YAMLError as error:
        raise BadParameter(f"not YAML: {error}", where=str(file)) from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise BadParameter(
            "parameters are a mapping of names to values", where=str(file), fix="write NAME: VALUE lines"
        )
    return content


def refuse_input(output: Path | None, notebooks: Iterable[Path]) -> None:
    """No command writes to the notebook that it reads."""
    from nb2prod.core.errors import UsageError

    for notebook in notebooks:
        if output is not None and output.exists() and notebook.exists() and output.samefile(notebook):
            raise UsageError("the output would overwrite the input", where=str(output), fix="name another file")


def print_json(document: Mapping[str, Any]) -> None:
    from nb2prod.stages import documents

    click.echo(documents.as_text(document))


def trackers(track: bool) -> tuple[str, ...]:
    return ("mlflow", "console") if track else ("console",)


def leave(result: Result) -> None:
    if result.exit_code:
        sys.exit(result.exit_code)
