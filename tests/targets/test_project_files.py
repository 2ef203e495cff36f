"""The files around an exported project do what they are for: the workflow, the container, the README."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from nb2prod import api
from tests.notebook_maker import Row, write_notebook

ROWS: list[Row] = [
    (
        "md",
        "# Rain\n\nWhere the data come from: [data/README.md](data/README.md), see [rain](https://example.org/a/b.md).",
    ),
    ("parameters", "source: str = 'data/rain.txt'\nkind: int | None = None  # of rain"),
    ("step:read metric:n", "n = float(open(source).read())"),
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rain")
    (folder / "data").mkdir()
    (folder / "data" / "rain.txt").write_text("5")
    (folder / "data" / "README.md").write_text("from the roof")
    (folder / "data" / "other.md").write_text("of no interest")
    api.export(write_notebook(folder / "rain.ipynb", ROWS), "project", folder / "project")
    return folder / "project"


def test_the_workflow_checks_and_tests_with_the_projects_own_python(project: Path) -> None:
    path = project / ".github" / "workflows" / "ci.yml"
    words = ["-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(path)]
    held = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert held.returncode == 0, held.stdout
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["make check", "make test"]
    wanted = re.search(r'requires-python = ">=([\d.]+)"', (project / "pyproject.toml").read_text(encoding="utf-8"))
    assert wanted
    assert [step["with"]["python-version"] for step in job["steps"] if "with" in step] == [wanted[1]]
    assert workflow["permissions"] == {"contents": "read"}


def test_the_container_copies_what_is_there_and_runs_as_nobody_special(project: Path) -> None:
    lines = [line.split() for line in (project / "Dockerfile").read_text(encoding="utf-8").splitlines() if line]
    copied = [word for word, *rest in lines if word == "COPY" for word in rest[:-1]]
    assert [name for name in copied if not (project / name).exists()] == []
    assert ["USER", "app"] in lines
    assert "data" in copied


def test_what_the_readme_links_to_is_there(project: Path) -> None:
    targets = re.findall(r"\]\(([^)]+)\)", (project / "README.md").read_text(encoding="utf-8"))
    assert [target for target in targets if "://" not in target and not (project / target).exists()] == []
    assert sorted(path.name for path in (project / "data").iterdir()) == ["README.md", "rain.txt"]


def test_a_default_with_a_bar_stays_in_its_column(project: Path) -> None:
    lines = (project / "README.md").read_text(encoding="utf-8").splitlines()
    assert "| `kind` | `None` | of rain |" in lines
    assert "| `source` | `'data/rain.txt'` |  |" in lines
