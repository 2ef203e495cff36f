"""The application behind a port, on this machine alone unless a token guards it.

SIGTERM makes the service call itself not ready while it still answers, for `drain` seconds in which a load balancer
notices; then the port closes, what is being answered is finished, and the process ends with 0. A second signal ends it
at once.
"""

from __future__ import annotations

import gc
import importlib.util
import ipaddress
import logging
import os
import signal
import socket
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from .connections import HEADER_BYTES, protocol
from .errors import ServingError
from .limits import Limits
from .loading import LOADERS, Runtime

if TYPE_CHECKING:
    from .app import Application
    from .service import Service

log = logging.getLogger("nb2prod.serving")
TOKEN = "NB2PROD_TOKEN"
_NEEDED = {"pydantic": "pydantic", "uvicorn": "uvicorn", "prometheus_client": "prometheus-client"}


def serve(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    token: str | None = None,
    limits: Limits | None = None,
    drain: float = 1.0,
    runtime: Runtime = "auto",
    digest: str = "",
) -> None:
    """Serve a model folder until a signal comes. Port 0 takes a free one; the log says which.

    `runtime` is what answers: `onnx` the proved translation, `mlflow` the model, `auto` the first that there is. With
    `digest` it must be this package, which somebody has judged.

    Raises ServingError: a library is missing, the folder is not whole, the model does not load, the port is taken, or
    the host can be reached by others and there is no token (`token`, or the variable NB2PROD_TOKEN).
    """
    _check_libraries()
    token = token or os.environ.get(TOKEN) or None
    if token is None and not _is_loopback(host):
        raise ServingError(
            f"{host or 'every interface'} can be reached by other machines, and there is no token",
            fix=f"set {TOKEN}, or serve on 127.0.0.1",
        )
    from .app import create_app

    app = create_app(folder, limits=limits, token=token, loader=LOADERS[runtime])
    if digest and app.service.folder.digest != digest:
        raise ServingError(
            f"refused, and nothing of it was loaded: its digest is {app.service.folder.digest}, not the one asked for",
            where=str(folder),
            fix="serve the package that was judged, or judge this one: nb2prod inspect PACKAGE",
            exit_code=7,
        )
    listening = _listening(host, port)
    _run(app, app.service, listening, drain)


def _check_libraries() -> None:
    missing = [name for module, name in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise ServingError(
            f"serving needs {', '.join(missing)}, which is not installed", fix="pip install 'nb2prod[serve]'"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listening(host: str, port: int) -> socket.socket:
    """A bound socket. Raises ServingError when the port is taken or the host is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # only of a socket that says TCP does asyncio switch Nagle's algorithm off, which costs 40 ms a request
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)
    except (OSError, OverflowError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or "not a port"
        raise ServingError(
            f"cannot listen on {host}:{port}: {reason}", fix="choose another port; 0 takes a free one"
        ) from error
    return listening


def _run(app: Application, service: Service, listening: socket.socket, drain: float) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        """uvicorn's, which keeps answering for a while after SIGTERM, and takes SIGTERM for an orderly end."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            if sig == signal.SIGTERM and not service.stopping and drain > 0:
                service.stopping = True
                threading.Timer(drain, self.stop).start()
                return
            self.force_exit = self.should_exit
            service.stopping = True
            self.stop()

        def stop(self) -> None:
            self.should_exit = True

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        date_header=False,
        ws="none",
        proxy_headers=False,  # nothing here asks who the client is
        http=protocol(),
        h11_max_incomplete_event_size=HEADER_BYTES,
        timeout_graceful_shutdown=int(service.limits.seconds + service.limits.body_seconds) + 1,
    )
    server = Server(config)
    threading.Thread(target=_announce, args=(service, listening, server.stop), daemon=True).start()
    try:
        server.run(sockets=[listening])
    finally:
        service.tally.write()  # also when a second signal left no time for it
    if service.failure is not None:
        raise service.failure


def _announce(service: Service, listening: socket.socket, stop: object) -> None:
    """Say where the service listens, once the model is loaded; stop it when the model cannot be loaded."""
    host, port = listening.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    folder = service.folder
    if folder.checksums is None:
        log.warning("%s is a plain MLflow folder: it has no checksums, and nothing of it was checked", folder.name)
    service.settled.wait()
    if service.failure is None:
        gc.freeze()  # the model stays: what looks for garbage need not go through all of it again and again
        version = folder.version or "(no version)"
        parts = {"runtime": service.runtime, "digest": folder.digest}
        log.info("serving %s %s at %s", folder.name, version, url, extra={"parts": parts})
    elif callable(stop):
        stop()
