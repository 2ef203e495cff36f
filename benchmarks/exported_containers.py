"""The Dockerfiles of exported projects, built and run without an engine.

python benchmarks/exported_containers.py [NAME…] [--volume SOURCE:TARGET]… [--base FOLDER]

Of both samples it writes results/exported_containers.json.

Each sample notebook is run once and exported. Its Dockerfile is built by `buildah` (Debian's package; no daemon), on a
base image that is made here: no image is fetched (see `container_environment.py`). The container is run as its
Dockerfile says, and its metrics must be the notebook's, number by number. What pip needs to reach an index is handed in
with `--volume`.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from container_environment import Builder, base_image  # noqa: E402

NOTEBOOKS = ("mortgage", "flight_delays")


class Image(Builder):
    """The base image goes by the name that the Dockerfiles have for it."""

    base = f"docker.io/library/python:{'.'.join(platform.python_version_tuple()[:2])}-slim"


def main(names: list[str], volumes: list[str], base: Path | None) -> int:
    if shutil.which("buildah") is None or (base is None and shutil.which("debootstrap") is None):
        sys.exit("there is no buildah, or no debootstrap to make a base image with")
    with tempfile.TemporaryDirectory(prefix="exported-containers-") as name:
        builder = Image(Path(name))
        builder.add_base(base or base_image(Path(name)))
        found = {notebook: one(builder, notebook, Path(name), volumes) for notebook in names}
        told = {"python": platform.python_version(), "by": builder("--version").strip(), "projects": found}
    text = json.dumps(told, indent=1)
    if names == list(NOTEBOOKS):
        (HERE / "results" / "exported_containers.json").write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0 if all(project["metrics equal"] for project in found.values()) else 1


def one(builder: Builder, notebook: str, scratch: Path, volumes: list[str]) -> dict[str, Any]:
    from nb2prod import api

    source = HERE.parent / "notebooks" / f"{notebook}.ipynb"
    ran = api.run(source, trackers=(), runs=scratch / "runs", output=scratch / f"{notebook}.ipynb", only_steps=True)
    project = scratch / notebook
    api.export(source, "project", project, run=ran.directory)
    begun = time.perf_counter()
    built = ("bud", "--format", "docker", "--pull-never", *builder.isolated, *builder.mounts(volumes))
    builder(*built, "-t", notebook, str(project))
    seconds = round(time.perf_counter() - begun, 1)
    container = builder("from", *builder.isolated[:2], notebook).strip()
    inside = ["buildah", *builder.store, "run", "--isolation", "chroot", container, "--"]
    entry = json.loads(builder("inspect", "--type", "image", notebook))["Docker"]["config"]["Entrypoint"]
    begun = time.perf_counter()
    subprocess.run([*inside, *entry], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics = json.loads(_said([*inside, "cat", "output/metrics.json"]))
    found = {
        "build seconds": seconds,
        "run seconds": round(time.perf_counter() - begun, 1),
        "base MB": builder.megabytes(builder.base),
        "image MB": builder.megabytes(notebook),
        "user": _said([*inside, "id", "-un"]).strip(),
        "can write its code": not subprocess.run([*inside, "touch", "src/x"], capture_output=True).returncode,
        "metrics equal": metrics == ran.metrics,
        "metrics": metrics,
    }
    builder("rm", container)
    return found


def _said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", default=list(NOTEBOOKS), help="names of sample notebooks")
    parser.add_argument("--volume", action="append", default=[], help="handed into the build, for pip's index")
    parser.add_argument("--base", type=Path, help="a folder or archive with the base image, instead of making one")
    given = parser.parse_args()
    sys.exit(main(given.names, given.volume, given.base))
