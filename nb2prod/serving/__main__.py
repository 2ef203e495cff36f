"""`python -m nb2prod.serving FOLDER --port N`: serve a model folder from the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .errors import ServingError
from .limits import Limits
from .loading import RUNTIMES
from .logs import FORMS, write_log
from .server import TOKEN, serve


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    write_log(given.log)
    try:
        limits = Limits(seconds=given.seconds, rows=given.rows, body_bytes=given.body_bytes)
        serve(
            given.folder,
            host=given.host,
            port=given.port,
            limits=limits,
            drain=given.drain,
            runtime=given.runtime,
            digest=given.digest.removeprefix("sha256:"),
        )
    except (ServingError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code if isinstance(error, ServingError) else 2
    except KeyboardInterrupt:
        return 0
    return 0


def _parser() -> argparse.ArgumentParser:
    default = Limits()
    parser = argparse.ArgumentParser(
        prog="serving", description="Serve a model package over HTTP.", epilog=f"A token is taken from {TOKEN} alone."
    )
    parser.add_argument("folder", type=Path, help="a package, or an MLflow model folder")
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s; one that others reach needs a token")
    parser.add_argument("--port", type=int, default=8080, help="default: %(default)s; 0 takes a free one")
    parser.add_argument("--drain", type=float, default=1.0, help="seconds not ready, but answering, after SIGTERM")
    parser.add_argument("--digest", default="", help="serve no other package: the SHA-256 of its file checksums")
    parser.add_argument("--runtime", choices=RUNTIMES, default="auto", help="auto: the ONNX translation if proved")
    parser.add_argument("--log", choices=FORMS, default="auto", help="auto: text in a terminal, else JSON lines")
    parser.add_argument("--seconds", type=float, default=default.seconds, help="time of one prediction")
    parser.add_argument("--rows", type=int, default=default.rows, help="rows in one request")
    parser.add_argument("--body-bytes", type=int, default=default.body_bytes, help="bytes in one request")
    return parser


if __name__ == "__main__":
    sys.exit(main())
