"""The command line: parse, call the api, print. Everything but click is imported when a command needs it.

Progress goes to stderr; with `--json` stdout holds one JSON document and nothing else. Exit codes: 0 done · 1 the
notebook's code failed · 2 wrong usage or a bad parameter · 3 findings of severity error · 4 a test failed · 5 a gate
or parity failed · 6 a kernel or worker was lost · 7 an input or store cannot be read or written · 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import click

from nb2prod.cli.cache import cache
from nb2prod.cli.check import check
from nb2prod.cli.export import export
from nb2prod.cli.inspect import inspect
from nb2prod.cli.map import map
from nb2prod.cli.package import package
from nb2prod.cli.run import run
from nb2prod.cli.score import score
from nb2prod.cli.serve import serve
from nb2prod.cli.sign import sign
from nb2prod.cli.suggest import suggest
from nb2prod.cli.sync import sync
from nb2prod.cli.test import test
from nb2prod.cli.verify import verify

__all__ = ["command", "main"]


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


# in the order of a notebook's way
for verb in (inspect, check, suggest, run, test, map, package, sign, export, sync, verify, serve, score, cache):
    main.add_command(verb)


def command() -> NoReturn:
    """The command itself: `main`, and an end without taking everything apart.

    Python would clear each module that was loaded one by one, which takes a second after MLflow and changes nothing
    that anybody sees: threads are waited for, exit functions heard and streams flushed as always.
    """
    import atexit
    import os
    import threading

    code: Any = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    if not isinstance(code, int | None):
        sys.exit(code)
    threading._shutdown()  # type: ignore[attr-defined]  # what Python does first at its own end
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # nobody listens any more, which Python says with this number
        os._exit(120)
    os._exit(code or 0)
