"""The command line: parse, call the api, print. Everything but click is imported when a command needs it.

Progress goes to stderr; with `--json` stdout holds one JSON document and nothing else. Exit codes: 0 done · 1 the
notebook's code failed · 2 wrong usage or a bad parameter · 3 findings of severity error · 4 a test failed · 5 a gate
or parity failed · 6 a kernel or worker was lost · 7 an input or store cannot be read or written · 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

if TYPE_CHECKING:
    from nb2prod.core.equality import Equality
    from nb2prod.core.finding import Severity
    from nb2prod.core.result import Result
    from nb2prod.stages.check import Checked
    from nb2prod.stages.suggest import Suggestion

Command = TypeVar("Command", bound=Callable[..., Any])
NOTEBOOK = click.Path(path_type=Path)


class Front(click.Group):
    """The command group: our errors become a message and an exit code, never a traceback unless `--debug` asks."""

    def invoke(self, ctx: click.Context) -> Any:
        from nb2prod.core.errors import Nb2prodError

        try:
            return super().invoke(ctx)
        except Nb2prodError as error:
            if ctx.params.get("debug"):
                raise
            _fail(error)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            sys.exit(130)
        except OSError as error:
            if ctx.params.get("debug"):
                raise
            where = f"{error.filename}: " if error.filename else ""
            click.echo(f"error: {where}it cannot be read or written: {error.strerror or error}", err=True)
            sys.exit(7)
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            click.echo(f"error: {type(error).__name__}: {error}", err=True)
            click.echo("  this is a fault of nb2prod: `nb2prod --debug …` shows where it happened", err=True)
            sys.exit(70)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of a notebook's way, not of the alphabet


def _fail(error: Any) -> NoReturn:
    click.echo(f"{click.style('error:', fg='red', bold=True)} {error}", err=True)
    sys.exit(error.exit_code)


@click.group(cls=Front, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="nb2prod", message="%(version)s")
@click.option("--debug", is_flag=True, help="Show tracebacks of nb2prod itself, and its log.")
def main(debug: bool) -> None:
    """Tagged notebook cells become a tested run, a proved model package and a served model."""
    import logging

    logging.basicConfig(format="%(message)s")
    logging.getLogger("nb2prod").setLevel(logging.DEBUG if debug else logging.INFO)


def _parameters(command: Command) -> Command:
    one = click.option("-p", "--parameter", "given", nargs=2, multiple=True, metavar="NAME VALUE", help="Repeatable.")
    many = click.option("-f", "--parameters-file", "file", type=NOTEBOOK, help="Parameters as YAML or JSON.")
    return one(many(command))


as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def _texts(given: Iterable[tuple[str, str]]) -> dict[str, str]:
    from nb2prod.core.errors import BadParameter

    texts: dict[str, str] = {}
    for name, text in given:
        if name in texts:
            raise BadParameter(f"parameter {name} is given twice", fix="give it once")
        texts[name] = text
    return texts


def _from_file(file: Path | None) -> Mapping[str, Any]:
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


def _refuse_input(output: Path | None, notebooks: Iterable[Path]) -> None:
    """No command writes to the notebook that it reads."""
    from nb2prod.core.errors import UsageError

    for notebook in notebooks:
        if output is not None and output.exists() and notebook.exists() and output.samefile(notebook):
            raise UsageError("the output would overwrite the input", where=str(output), fix="name another file")


def _print_json(document: Mapping[str, Any]) -> None:
    from nb2prod.stages import documents

    click.echo(documents.as_text(document))


# -- look ------------------------------------------------------------------------------------------------------------


@main.command()
@click.argument("notebook", type=NOTEBOOK)
@click.option("--format", "style", type=click.Choice(["text", "json", "svg", "mermaid"]), default="text")
@click.option("-o", "--output", type=NOTEBOOK, help="Write to a file instead of stdout.")
@as_json
def inspect(notebook: Path, style: str, output: Path | None, as_json: bool) -> None:
    """Show parameters, steps, tests and model; nothing runs."""
    import shutil

    from nb2prod import api
    from nb2prod.storage import files

    _refuse_input(output, [notebook])
    to_terminal = output is None and sys.stdout.isatty()
    width = shutil.get_terminal_size((100, 24)).columns
    text = api.inspect(notebook, format="json" if as_json else style, width=width, color=to_terminal)
    if output is None:
        click.echo(text)
    else:
        files.write_text(output, text + "\n")
        click.echo(f"wrote {output}", err=True)


def _explain(ctx: click.Context, _: click.Parameter, code: str | None) -> None:
    if code is not None:
        from nb2prod import api

        click.echo(api.explain("" if code == "all" else code))
        ctx.exit()


@main.command()
@click.argument("paths", type=NOTEBOOK, nargs=-1, required=True, metavar="NOTEBOOK|FOLDER...")
@click.option("--format", "style", type=click.Choice(["text", "json", "sarif", "github"]), default="text")
@click.option("--select", multiple=True, metavar="CODES", help="Only these codes, and errors. Repeatable, or commas.")
@click.option("--ignore", multiple=True, metavar="CODES", help="Not these codes. Repeatable, or commas.")
@click.option("--fail-on", type=click.Choice(["error", "warning", "note"]), help="Exit with 3 from there on.")
@click.option("--fix", is_flag=True, help="Write a corrected copy, NAME.fixed.ipynb, and check that.")
@click.option("-o", "--output", type=NOTEBOOK, help="With --fix: the copy's name.")
@click.option("--explain", metavar="CODE", callback=_explain, is_eager=True, expose_value=False, help="Or: all.")
@as_json
def check(
    paths: tuple[Path, ...],
    style: str,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    fail_on: Severity | None,
    fix: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """List what is wrong or doubtful, with a fix for each; nothing runs."""
    from nb2prod import api

    chosen, ignored = _codes(select), _codes(ignore)
    if fix or output is not None:
        paths = _fixed(paths, output, chosen, ignored, wanted=fix)
    checked = api.check_all(paths, select=chosen, ignore=ignored, fail_on=fail_on)
    _print_checked(checked, "json" if as_json else style)
    if any(one.failed and one.problem is None for one in checked):
        sys.exit(3)
    unread = next((one.problem for one in checked if one.problem is not None), None)
    if unread is not None:
        sys.exit(unread.exit_code)


def _codes(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(code.strip() for words in given for code in words.split(",") if code.strip())


def _fixed(
    paths: tuple[Path, ...], output: Path | None, select: tuple[str, ...], ignore: tuple[str, ...], *, wanted: bool
) -> tuple[Path, ...]:
    """The corrected copies; a notebook that needs none stays in the list itself."""
    from nb2prod import api
    from nb2prod.core.errors import UsageError

    if not wanted:
        raise UsageError("-o names the copy that --fix writes", fix="add --fix, or leave out -o")
    if len(paths) != 1 or paths[0].is_dir():
        raise UsageError("--fix corrects one notebook at a time", fix="name one notebook")
    _refuse_input(output, paths)
    copy, difference, count = api.fix(paths[0], output, select=select, ignore=ignore)
    if copy is None:
        click.echo(f"{paths[0]}: there is nothing that --fix corrects", err=True)
        return paths
    for line in difference.splitlines():
        click.echo(click.style(line, fg={"+": "green", "-": "red", "@": "cyan"}.get(line[:1])), err=True)
    click.echo(f"wrote {copy}: {count} finding{'' if count == 1 else 's'} corrected", err=True)
    return (copy,)


def _print_checked(checked: Sequence[Checked], style: str) -> None:
    import os
    import shutil

    from nb2prod import api

    to_terminal = style == "text" and sys.stdout.isatty()
    form = style if style != "text" else "page" if to_terminal else "lines"
    width = shutil.get_terminal_size((100, 24)).columns
    text = api.report(checked, format=form, width=width, color=to_terminal and not os.environ.get("NO_COLOR"))
    if text:
        click.echo(text, color=True if to_terminal else None)
    for one in checked:
        if one.problem is not None and not to_terminal:
            click.echo(f"{click.style('error:', fg='red', bold=True)} {one.problem}", err=True)


@main.command()
@click.argument("notebook", type=NOTEBOOK)
@click.option("-o", "--output", type=NOTEBOOK, help="Write the tagged copy to this notebook.")
@click.option("--write", is_flag=True, help="Write it beside the notebook, as NAME.tagged.ipynb.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier copy.")
@as_json
def suggest(notebook: Path, output: Path | None, write: bool, overwrite: bool, as_json: bool) -> None:
    """Propose tags for the untagged cells, with reasons, and write a tagged copy; nothing runs."""
    from nb2prod import api
    from nb2prod.core.errors import UsageError
    from nb2prod.stages import documents
    from nb2prod.stages.suggest import default_output

    if output is not None and write:
        raise UsageError("--write and -o both say where the copy goes", fix="leave out --write")
    _refuse_input(output, [notebook])
    target = default_output(notebook) if write else output
    suggestion = api.suggest(notebook, target, overwrite=overwrite)
    if as_json:
        _print_json(documents.suggested(suggestion, None if target is None else str(target)))
    else:
        _print_suggestion(suggestion, target)
    if any(finding.severity == "error" for finding in suggestion.refused):
        sys.exit(3)


def _print_suggestion(suggestion: Suggestion, target: Path | None) -> None:
    import shutil

    from nb2prod.drawing import proposal

    rows = [(str(found.cell), found.source, found.tags, found.why) for found in suggestion.cells]
    if suggestion.moved:
        place = sum(found.cell < (suggestion.parameters_at or 0) for found in suggestion.cells)
        why = "a new cell: literals that the cells below use"
        rows.insert(place, ("new", suggestion.parameters_source, ("parameters",), why))
    width = shutil.get_terminal_size((120, 24)).columns
    click.echo(proposal.as_text(rows, width=width, color=sys.stdout.isatty()))
    for note in suggestion.notes:
        click.echo(f"\n{click.style('note', fg='blue', bold=True)}  {note}")
    if suggestion.refused:
        click.echo(f"\n{click.style('a person must decide', fg='red', bold=True)}")
    for finding in suggestion.refused:
        click.echo(f"  {finding.place}: {finding.code}: {finding.message}\n    fix: {finding.fix}")
    click.echo()
    if target is None:
        click.echo(f"to write a tagged copy:  nb2prod suggest {suggestion.notebook.path} --write")
        return
    click.echo(f"wrote {target}; look at it, change what you would say otherwise, then")
    wanted = ["inspect", "check", "run", "verify", *(["package"] if suggestion.packs else [])]
    for verb in wanted:
        click.echo(f"  nb2prod {verb} {target}{' -o PACKAGE' if verb == 'package' else ''}")


# -- run -------------------------------------------------------------------------------------------------------------


@main.command()
@click.argument("notebook", type=NOTEBOOK)
@_parameters
@click.option("--engine", default="papermill", show_default=True, help="How it runs.")
@click.option("--executor", default="serial", show_default=True, help="Where the steps of engine `steps` run.")
@click.option("--allow-shell", is_flag=True, help="Let isolated steps run their shell lines.")
@click.option("--kernel", help="Another kernel than the notebook names.")
@click.option("-o", "--output", type=NOTEBOOK, help="The executed notebook.  [default: in the run's folder]")
@click.option("--runs", type=NOTEBOOK, default=Path("runs"), show_default=True, help="Where runs are kept.")
@click.option("--experiment", default="", help="MLflow experiment.  [default: the notebook's name]")
@click.option("--timeout", type=click.FloatRange(min=0.01), help="Seconds that one cell may take.")
@click.option("--only-steps", is_flag=True, help="Leave out exploration cells.")
@click.option("--track/--no-track", default=True, help="Log to MLflow.")
@as_json
def run(
    notebook: Path,
    given: tuple[tuple[str, str], ...],
    file: Path | None,
    engine: str,
    executor: str,
    allow_shell: bool,
    kernel: str | None,
    output: Path | None,
    runs: Path,
    experiment: str,
    timeout: float | None,
    only_steps: bool,
    track: bool,
    as_json: bool,
) -> None:
    """Run the notebook headless, with typed parameters, tests and MLflow."""
    from nb2prod import api
    from nb2prod.stages import documents

    result = api.run(
        notebook,
        _from_file(file),
        texts=_texts(given),
        engine=engine,
        executor=executor,
        allow_shell=allow_shell,
        trackers=_trackers(track),
        kernel=kernel,
        output=output,
        runs=runs,
        experiment=experiment,
        timeout=timeout,
        only_steps=only_steps,
    )
    if as_json:
        _print_json(documents.ran(result))
    _exit(result)


def _trackers(track: bool) -> tuple[str, ...]:
    return ("mlflow", "console") if track else ("console",)


def _exit(result: Result) -> None:
    if result.exit_code:
        sys.exit(result.exit_code)


@main.command()
@click.argument("notebooks", type=NOTEBOOK, nargs=-1, required=True)
@click.option("-p", "--parameter", "given", nargs=2, multiple=True, metavar="NAME VALUE", help="Repeatable.")
@click.option("-k", "select", metavar="EXPRESSION", help="Only tests that match, as pytest's -k.")
@click.option("--junit", type=NOTEBOOK, help="Write a JUnit XML report.")
@as_json
def test(
    notebooks: tuple[Path, ...],
    given: tuple[tuple[str, str], ...],
    select: str | None,
    junit: Path | None,
    as_json: bool,
) -> None:
    """Run the notebook's tests through pytest."""
    from nb2prod import api
    from nb2prod.stages import documents

    _refuse_input(junit, notebooks)
    results, code = api.test(notebooks, junit=junit, select=select, parameters=_texts(given), quiet=as_json)
    if as_json:
        _print_json(documents.tested(results))
    sys.exit(code)


# -- hand over -------------------------------------------------------------------------------------------------------


@main.command()
@click.argument("source", type=NOTEBOOK)
@click.option("-o", "--output", type=NOTEBOOK, required=True, help="The package's folder.")
@_parameters
@click.option("--name", help="The package's name.  [default: the notebook's]")
@click.option("--version", default="1", show_default=True)
@click.option("--register", metavar="NAME", help="Also register it in the MLflow registry.")
@click.option("--track/--no-track", default=True, help="Log the run to MLflow.")
@as_json
def package(
    source: Path,
    output: Path,
    given: tuple[tuple[str, str], ...],
    file: Path | None,
    name: str | None,
    version: str,
    register: str | None,
    track: bool,
    as_json: bool,
) -> None:
    """Package the model of a NOTEBOOK, or of an earlier RUN's folder, and prove that it answers the same."""
    from nb2prod import api
    from nb2prod.core.errors import UsageError
    from nb2prod.stages import documents

    if register and not track:
        raise UsageError("--register needs the run in MLflow", fix="leave out --no-track")
    made = api.package(
        source,
        output,
        parameters=_from_file(file),
        texts=_texts(given),
        name=name,
        version=version,
        register=register,
        trackers=_trackers(track),
    )
    if as_json:
        _print_json(documents.packaged(made))
        return
    path = made.parity.paths[0]
    click.echo(f"{click.style('package', bold=True)} {made.name} {made.version} in {made.directory}")
    click.echo(f"  format  {made.format.format}: {made.format.reason}")
    click.echo(f"  parity  {made.parity.verdict}: {path.exact} of {path.rows} predictions equal in a fresh process")
    click.echo(f"  digest  sha256:{made.digest}")
    if made.registered:
        click.echo(f"  registered as {made.registered}")


@main.command()
@click.argument("notebook", type=NOTEBOOK)
@click.option("--to", "target", required=True, metavar="TARGET", help="What it becomes.")
@click.option("-o", "--output", type=NOTEBOOK, required=True, help="A folder that is not there yet.")
def export(notebook: Path, target: str, output: Path) -> None:
    """Write the pipeline for another place."""
    from nb2prod import api

    for path in api.export(notebook, target, output):
        click.echo(path)


@main.command()
@click.argument("source", type=NOTEBOOK, metavar="NOTEBOOK|PACKAGE")
@_parameters
@click.option("-o", "--output", type=NOTEBOOK, help="Of a notebook: write the report, one HTML page.")
@click.option("--allow-shell", is_flag=True, help="Let isolated steps run their shell lines.")
@click.option("--kernel", help="Another kernel than the notebook names.")
@click.option("--timeout", type=click.FloatRange(min=0.01), help="Seconds that one cell may take.")
@as_json
def verify(
    source: Path,
    given: tuple[tuple[str, str], ...],
    file: Path | None,
    output: Path | None,
    allow_shell: bool,
    kernel: str | None,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Prove that a NOTEBOOK's isolated steps equal it, value by value; or check a PACKAGE and its proof again."""
    from nb2prod import api
    from nb2prod.core.errors import UsageError
    from nb2prod.stages import documents
    from nb2prod.storage import files

    if source.is_dir():
        if given or file or output or kernel or timeout or allow_shell:
            raise UsageError("of a package everything is fixed", fix="leave out the options, or name a notebook")
        _verify_package(source, as_json)
        return
    _refuse_input(output, [source])
    equality = api.verify_notebook(
        source,
        _from_file(file),
        texts=_texts(given),
        kernel=kernel,
        timeout=timeout,
        allow_shell=allow_shell,
        tell=lambda line: click.echo(line, err=True),
    )
    if output is not None:
        files.write_text(output, api.equality_report(equality, format="html"))
        click.echo(f"wrote {output}", err=True)
    if as_json:
        _print_json(documents.verified_notebook(equality))
    else:
        _print_equality(equality)
    if equality.exit_code:
        sys.exit(equality.exit_code)


def _print_equality(equality: Equality) -> None:
    import os
    import shutil

    from nb2prod import api

    for finding in equality.findings:
        click.echo(f"{finding.place}: {finding.message} [{finding.code}]\n  fix: {finding.fix}", err=True)
    if equality.failure is not None:
        click.echo(f"{equality.failure.place}: {equality.failure.message}", err=True)
    to_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size((100, 24)).columns
    color = to_terminal and not os.environ.get("NO_COLOR")
    click.echo(api.equality_report(equality, width=width, color=color), color=True if color else None)


def _verify_package(folder: Path, as_json: bool) -> None:
    from nb2prod import api
    from nb2prod.stages import documents

    parity = api.verify(folder)
    if as_json:
        _print_json(documents.verified(str(folder), parity))
        return
    click.echo(f"{folder}: files as packed, predictions {parity.verdict}")
    for path in parity.paths:
        click.echo(f"  {path.path}: {path.exact} of {path.rows} equal, largest difference {path.difference:g}")


@main.command()
@click.argument("package", metavar="PACKAGE")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@click.option("--token", envvar="NB2PROD_TOKEN", help="Bearer token; needed for an address that is not this machine.")
def serve(package: str, host: str, port: int, token: str | None) -> None:
    """Serve a package's folder, or models:/NAME@ALIAS: /predict, /invocations, /livez, /readyz, /metrics."""
    from nb2prod import api

    api.serve(package, host=host, port=port, token=token)


if __name__ == "__main__":
    main()
