"""The files around an exported project do what they are for: the workflow, the container, the README, the settings."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from nb2prod import api
from nb2prod.core.errors import UsageError
from nb2prod.core.origin import FILE
from nb2prod.stages.syncing.project_folder import origin_from
from tests.notebook_maker import Row, write_notebook
from tests.targets.github_schema import faults

ROWS: list[Row] = [
    (
        "md",
        "# Rain\n\nWhere the data come from: [data/README.md](data/README.md), see [rain](https://example.org/a/b.md).",
    ),
    ("imports", "from datetime import timedelta\nfrom typing import Annotated"),
    (
        "parameters",
        "source: str = 'data/rain.txt'\nkind: int | None = None  # of rain\nbar: str = 'a|b'\nrows: int = 60_000\n"
        "pin: Annotated[int, 'secret'] = 4711\npause: timedelta = timedelta(1)\nurl: str = f'{bar}/{rows}'",
    ),
    ("step:read metric:n", "n = float(open(source).read()) + len(url) * rows + pin + pause.days"),
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
    assert faults(path) == []
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
    assert "| `kind` | `none` | of rain |" in lines
    assert r"| `bar` | `a\|b` | |" in lines
    assert "| `source` | `data/rain.txt` | |" in lines
    assert "| `url` | from bar and rows | |" in lines


def test_a_secret_is_in_no_file_and_comes_from_the_environment_with_its_type(project: Path) -> None:
    files = [path for path in project.rglob("*") if path.is_file()]
    assert [path.name for path in files if "4711" in path.read_text(encoding="utf-8")] == []
    texts = origin_from((project / FILE).read_text(encoding="utf-8")).texts
    assert not any("4711" in text for text in texts.values())
    settings = texts["src/rain/settings.py"]
    assert 'pin: int = field(default_factory=lambda: int(from_environment("PIN")), repr=False)\n' in settings
    assert "rows: int = 60_000\n" in settings
    assert "| `pin` | `PIN` of the environment | |\n" in texts["README.md"]
    assert "PIN: ${{ secrets.PIN }}" in texts[".github/workflows/ci.yml"]


def test_without_its_secret_a_run_says_what_is_missing(project: Path) -> None:
    command = [sys.executable, "-m", "rain", "--output", "out"]
    environment = {"PYTHONPATH": "src", "PATH": os.environ["PATH"]}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "the environment variable PIN is not set\n")
    subprocess.run(command, cwd=project, env={**environment, "PIN": "5"}, capture_output=True, check=True)
    # five of the file, nine letters of `a|b/60000`, five of the secret, a day
    assert json.loads((project / "out" / "metrics.json").read_text()) == {"n": 5 + 9 * 60_000 + 5 + 1}


def test_what_no_text_says_is_no_option(project: Path) -> None:
    command = (project / "src" / "rain" / "__main__.py").read_text(encoding="utf-8")
    assert re.findall(r'add_argument\("--(\w+)"', command) == ["source", "kind", "bar", "rows", "url", "output"]
    assert "- pause: set in code only" in (project / "README.md").read_text(encoding="utf-8")


def test_a_project_that_is_there_is_not_written_over_and_an_empty_folder_is_taken(
    project: Path, tmp_path: Path
) -> None:
    notebook = project.parent / "rain.ipynb"
    with pytest.raises(UsageError, match="something already") as told:
        api.export(notebook, "project", project)
    assert f"nb2prod sync {project} {notebook} --update" in str(told.value)
    (tmp_path / "github").mkdir()
    assert api.export(notebook, "github", tmp_path / "github")
