"""The service that a package carries: a copy of `nb2prod/serving`, which needs nothing else of nb2prod.

    service/               python -m service . --port 8080, in the package's folder
    Dockerfile             the same in a container: installed from the lock, as a user without rights
    .dockerignore

A package with a proved translation is served by it, from a lock without MLflow, pandas and scikit-learn; any other by
the model itself. Which libraries that takes is said here, once.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nb2prod.stages.provenance.lock import FILE as LOCK
from nb2prod.storage import templates
from nb2prod.storage.files import write_text

SERVICE = "service"
TRANSLATION = "onnx/model.onnx"
NATIVE_LOCK = LOCK
ONNX_LOCK = f"onnx/{LOCK}"
# what `nb2prod/serving` imports, whatever answers; and what answers
SERVING = ("httptools", "numpy", "prometheus-client", "pydantic", "pyyaml", "typing-extensions", "uvicorn", "uvloop")
ONNX = ("onnxruntime",)
NO_BYTE_CODE = "Python would put byte code here; it finds a file and puts none, so the package stays as it was made.\n"


def write_service(folder: Path) -> None:
    """The service's own files, as they are here."""
    source = Path(__file__).parents[2] / "serving"
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        if path.is_file() and "__pycache__" not in relative.parts:
            target = folder / SERVICE / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    write_text(folder / SERVICE / "__pycache__", NO_BYTE_CODE)


def is_translated(folder: Path) -> bool:
    return (folder / TRANSLATION).is_file()


def write_container(folder: Path, manifest: Mapping[str, Any], *, hashed: bool) -> None:
    """The files that `docker build` takes in the package's folder."""
    translated = is_translated(folder)
    values = {
        "name": _one_line(manifest["name"]),
        "version": _one_line(manifest["version"]),
        "python": platform.python_version(),
        "lock": ONNX_LOCK if translated else NATIVE_LOCK,
        "runtime": "onnx" if translated else "mlflow",
        "hashed": hashed,
    }
    write_text(folder / "Dockerfile", templates.render("package/Dockerfile.j2", values))
    ignored = templates.folder("package") / "dockerignore"
    write_text(folder / ".dockerignore", ignored.read_text(encoding="utf-8"))


def _one_line(value: Any) -> str:
    """Within a comment: nothing in a name begins another line."""
    return " ".join(str(value).split())
