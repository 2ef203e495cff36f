"""A package is verified with another patch version of scikit-learn: red, naming path and library; a note when allowed.

    python benchmarks/other_versions.py [VERSION]

An environment is made in which scikit-learn is of VERSION (the patch before this one, by default) and all else is
what is here. The mortgage notebook is packaged here and verified there, with and without --allow-other-versions.
Result: benchmarks/results/other_versions.json.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULT = HERE / "results" / "other_versions.json"
NOTEBOOK = HERE.parent / "notebooks" / "mortgage.ipynb"


def main() -> None:
    wanted = sys.argv[1] if len(sys.argv) > 1 else _before(version("scikit-learn"))
    with tempfile.TemporaryDirectory(prefix="nb2prod-versions-") as folder:
        home = Path(folder)
        package = home / "package"
        _run([sys.executable, "-m", "nb2prod", "package", str(NOTEBOOK), "-o", str(package), "--no-track"], home)
        python = _environment(home / "environment", wanted)
        refused = _verify(python, package, home)
        allowed = _verify(python, package, home, "--allow-other-versions")
    found = {
        "here": version("scikit-learn"),
        "there": wanted,
        "exit_code": refused["exit_code"],
        "problems": refused["problems"],
        "allowed": {"exit_code": allowed["exit_code"], "problems": allowed["problems"], "notes": allowed["notes"]},
    }
    RESULT.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


def _before(here: str) -> str:
    major, minor, patch = (int(part) for part in here.split(".")[:3])
    return f"{major}.{minor}.{patch - 1}" if patch else f"{major}.{minor - 1}.0"


def _environment(folder: Path, wanted: str) -> Path:
    """Its own scikit-learn comes before ours, which is reached through a path file."""
    _run([sys.executable, "-m", "venv", str(folder)], folder.parent)
    python = folder / "bin" / "python"
    _run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", f"scikit-learn=={wanted}"], folder.parent)
    (site,) = folder.glob("lib/python*/site-packages")
    # the files in ours that name further places, such as a checkout, are read as well
    (site / "ours.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return python


def _verify(python: Path, package: Path, home: Path, *options: str) -> dict[str, Any]:
    command = [str(python), "-m", "nb2prod", "verify", str(package), "--json", *options]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise SystemExit(f"verify printed nothing: {done.stderr}")
    said = json.loads(done.stdout)
    problems = [{"path": one["path"], "row": one["row"], "what": one["what"]} for one in said["problems"]]
    return {"exit_code": done.returncode, "problems": problems, "notes": said["notes"]}


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:4])} …: {done.stderr[-2000:]}")


if __name__ == "__main__":
    main()
