"""The container of a package, built and run without an engine; and how large what it installs is beside full MLflow.

python benchmarks/container_environment.py [--volume SOURCE:TARGET]…    writes results/container_environment.json

A package with a proved ONNX translation is made with a hashed lock. Then

1. its Dockerfile is built by `buildah` (Debian's package; `--isolation chroot`, no daemon), when that is there. No
   image is fetched: the base image is made here, Debian by `debootstrap` and this Python below /usr/local, which is
   what the official slim image is. What pip needs to reach an index is handed in with `--volume`;
2. the container is run as its Dockerfile says, asked, its health check and its user are looked at, it is told to stop;
3. the lock is installed by the same pip command into an empty environment, and `mlflow` with what the model imports
   into another, in the versions that are installed here: both are weighed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
PORT, TOKEN = 8080, "benchmark"
NEEDED = "libssl3,libffi8,libsqlite3-0,zlib1g,libbz2-1.0,liblzma5,libreadline8,libexpat1,ca-certificates"
PIP = "#!/usr/local/bin/python\nimport sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n"


def main(volumes: list[str], base: Path | None) -> None:
    with tempfile.TemporaryDirectory(prefix="nb2prod-container-") as scratch:
        package = made(Path(scratch))
        result = {
            "python": platform.python_version(),
            "versions": {name: version(name) for name in ("mlflow", "onnxruntime", "numpy")},
            "container": container(Path(scratch), package, volumes, base),
            "environments": environments(Path(scratch), package),
        }
    (HERE / "results" / "container_environment.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


def made(scratch: Path) -> Path:
    """A package whose translation holds, with a hashed lock."""
    from nb2prod.stages.package import package
    from tests.simulated import run
    from tests.stages.provenance.built import ROWS

    ran = run(scratch, *ROWS, name="loans")
    package(ran.pipeline, ran.result, scratch / "package", lock="hashed")
    return scratch / "package"


# -- the container --------------------------------------------------------------------------------------------------


def container(scratch: Path, package: Path, volumes: list[str], base: Path | None) -> dict[str, Any]:
    if shutil.which("buildah") is None or (base is None and shutil.which("debootstrap") is None):
        return {"built": False, "reason": "there is no buildah, or no debootstrap to make a base image with"}
    builder = Builder(scratch)
    builder.add_base(base or base_image(scratch))
    begun = time.perf_counter()
    builder(
        "bud",
        "--format",
        "docker",
        "--pull-never",
        *builder.isolated,
        *builder.mounts(volumes),
        "-t",
        "loans",
        str(package),
    )
    seconds = time.perf_counter() - begun
    return {
        "built": True,
        "by": builder("--version").strip(),
        "build_seconds": round(seconds, 1),
        "base_mb": builder.megabytes(builder.base),
        "image_mb": builder.megabytes("loans"),
        **asked(builder, package),
    }


class Builder:
    """buildah with a store of its own."""

    base = f"docker.io/library/python:{platform.python_version()}-slim"
    isolated = ("--isolation", "chroot", "--network", "host")

    def __init__(self, scratch: Path) -> None:
        self.store = ["--root", str(scratch / "store"), "--runroot", str(scratch / "run")]

    def __call__(self, *words: str) -> str:
        done = subprocess.run(["buildah", *self.store, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"buildah {words[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        return done.stdout

    def mounts(self, volumes: Iterable[str]) -> list[str]:
        return [word for volume in volumes for word in ("--volume", f"{volume}:ro")]

    def add_base(self, root: Path) -> None:
        name = self("from", "--isolation", "chroot", "scratch").strip()
        self("add", "-q", name, str(root), "/")
        self("commit", "-q", "--rm", name, self.base)

    def megabytes(self, image: str) -> float:
        found = json.loads(self("images", "--json", image))
        return round(float(found[0]["size"].split()[0]), 0) if found else 0.0


def base_image(scratch: Path) -> Path:
    """Debian without anything, and this Python with pip and nothing else."""
    root = scratch / "root"
    command = ["debootstrap", "--variant=minbase", f"--include={NEEDED}", "bookworm", str(root)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for folder in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(root / folder)
    home, number = Path(sys.base_prefix), f"python{sys.version_info[0]}.{sys.version_info[1]}"
    library = root / "usr/local/lib" / number
    unwanted = shutil.ignore_patterns("site-packages", "test", "__pycache__", "config-*")
    shutil.copytree(home / "lib" / number, library, ignore=unwanted)
    for found in (home / "lib" / number / "site-packages").glob("pip*"):
        shutil.copytree(found, library / "site-packages" / found.name)
    for found in (home / "lib").glob("libpython*.so*"):
        shutil.copy2(found, root / "usr/local/lib" / found.name, follow_symlinks=False)
    shutil.copy2(home / "bin" / number, root / "usr/local/bin/python")
    (root / "usr/local/bin/pip").write_text(PIP)
    (root / "usr/local/bin/pip").chmod(0o755)
    subprocess.run(["chroot", str(root), "ldconfig"], check=True)
    return root


def asked(builder: Builder, package: Path) -> dict[str, Any]:
    """The container, run by its own command, asked as others would ask it, and stopped."""
    name = builder("from", *builder.isolated[:2], "loans").strip()
    told = json.loads(builder("inspect", "--type", "image", "loans"))["Docker"]["config"]
    inside = ["buildah", *builder.store, "run", "--isolation", "chroot", "-e", f"NB2PROD_TOKEN={TOKEN}", name, "--"]
    with served([*inside, *told["Cmd"]]) as first:
        rows = json.loads((package / "input_example.json").read_text(encoding="utf-8"))
        health = subprocess.run([*inside, *told["Healthcheck"]["Test"][1:]], check=False).returncode
        found = {
            "user": subprocess.run([*inside, "id", "-u"], capture_output=True, text=True, check=True).stdout.strip(),
            "first_answer_seconds": round(first, 2),
            "answers": ask(rows, TOKEN),
            "without_token": ask(rows, ""),
            "health_check": health,
            "can_write": not subprocess.run([*inside, "touch", "/package/x"], capture_output=True).returncode,
            "compiler": not subprocess.run([*inside, "which", "cc"], capture_output=True).returncode,
        }
    builder("rm", name)
    return found


@contextmanager
def served(command: list[str]) -> Iterator[float]:
    """Seconds until it was ready; afterwards the service gets SIGTERM, and all of it has to end."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=1)
                break
            except OSError:
                if process.poll() is not None or time.perf_counter() - begun > 120:
                    raise SystemExit("the container's service did not become ready") from None
                time.sleep(0.05)
        yield time.perf_counter() - begun
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def ask(rows: dict[str, Any], token: str) -> Any:
    body = json.dumps({"dataframe_split": rows}).encode()
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}/invocations", body, headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code


# -- what is installed ----------------------------------------------------------------------------------------------


def environments(scratch: Path, package: Path) -> dict[str, Any]:
    from nb2prod.stages.provenance import lock
    from nb2prod.stages.provenance.closure import closure

    full = scratch / "full.lock"
    pins = [f"{name}=={number}" for name, (number, _) in lock.read(package / "requirements.lock").items()]
    # of what the service of the other lock has, only what the model imports: MLflow brings a server of its own
    wanted = json.loads((package / "package.json").read_text(encoding="utf-8"))["requirements"]
    lock.write(lock.Lock(closure(["mlflow", *wanted]).pins, {}), full)
    found = {
        "onnx_mb": weighed(scratch / "onnx-env", package / "onnx" / "requirements.lock"),
        "mlflow_mb": weighed(scratch / "mlflow-env", full),
        "libraries": {"onnx": len(lock.read(package / "onnx/requirements.lock")), "native": len(pins)},
    }
    return {**found, "ratio": round(found["onnx_mb"] / found["mlflow_mb"], 3)}


def weighed(folder: Path, locked: Path) -> float:
    """Megabytes of an environment that has what the lock says and nothing else."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    hashes = ["--require-hashes"] if "--hash" in locked.read_text(encoding="utf-8") else []
    command = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*command, "--no-deps", "--only-binary", ":all:", *hashes, "-r", str(locked)], check=True)
    size = sum(path.lstat().st_size for path in (folder / "lib").rglob("*") if path.is_file())
    shutil.rmtree(folder)
    return round(size / 1e6, 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--volume", action="append", default=[], help="handed into the build, for pip's index")
    parser.add_argument("--base", type=Path, help="a folder or archive with the base image, instead of making one")
    given = parser.parse_args()
    main(given.volume, given.base)
