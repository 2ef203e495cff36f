"""The target `github`: a workflow that GitHub takes, by the schema that is published for workflows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from nb2prod import api
from tests.notebook_maker import write_notebook
from tests.targets.github_schema import faults

CELLS = [
    (["parameters"], "from typing import Literal\nn: int = 3  # how many: rows\nkind: Literal['a', 'b'] = 'a'\n"
                     "depth: int | None = None\nby: list[str] = ['x']\napi_token: str = ''\nquick: bool = True"),
    (["step:a", "model:model", "example:rows"], "rows = [n]\nmodel = kind"),
]  # fmt: skip


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("github")
    (folder / ".git").mkdir()
    (folder / "notebooks").mkdir()
    notebook = write_notebook(folder / "notebooks" / "nb.ipynb", CELLS)
    written = api.export(notebook, "github", folder / "out")
    return next(path for path in written if path.suffix == ".yml")


@pytest.fixture(scope="module")
def content(workflow: Path) -> dict[Any, Any]:
    loaded: dict[Any, Any] = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    return loaded


def test_the_workflow_holds_to_githubs_schema(workflow: Path) -> None:
    assert faults(workflow) == []


def test_parameters_are_typed_inputs_and_secrets_are_none(content: dict[Any, Any]) -> None:
    inputs = content[True]["workflow_dispatch"]["inputs"]  # YAML reads `on` as True
    assert {name: (said["type"], said.get("default")) for name, said in inputs.items()} == {
        "n": ("number", 3),
        "kind": ("choice", "a"),
        "depth": ("string", None),
        "by": ("string", '["x"]'),
        "quick": ("boolean", True),
    }
    assert inputs["kind"]["options"] == ["a", "b"]
    assert content["jobs"]["notebook"]["env"]["API_TOKEN"] == "${{ secrets.API_TOKEN }}"


def test_it_checks_tests_verifies_runs_and_packages_with_few_rights(content: dict[Any, Any]) -> None:
    steps = [step.get("run", "") for step in content["jobs"]["notebook"]["steps"]]
    verbs = [line.split()[1] for text in steps for line in text.splitlines() if line.startswith("nb2prod")]
    assert verbs == ["check", "test", "verify", "run", "package", "verify"]
    assert content["permissions"] == {"contents": "read"}
    assert content["jobs"]["notebook"]["env"]["NOTEBOOK"] == "notebooks/nb.ipynb"


def test_what_people_give_is_never_part_of_a_script(content: dict[Any, Any]) -> None:
    steps = content["jobs"]["notebook"]["steps"]
    assert [step["run"] for step in steps if "inputs" in step.get("run", "")] == []
    assert [step["env"] for step in steps if "env" in step] == [{"GIVEN": "${{ toJSON(inputs) }}"}]
