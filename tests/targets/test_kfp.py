"""The target `kfp`: what Kubeflow is told of each step. Runs of it are in benchmarks/exported_kfp.py."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from nb2prod import api
from nb2prod.core.errors import FindingsError
from tests.notebook_maker import write_notebook

CELLS = [
    (["parameters"], "n: int = 3\nshare: float = 0.5\nnames: list[str] = ['a']\n"
                     "depth: int | None = None\nüber: str = 'x'\nlambda_: float = float('inf')\nself: int = 1"),
    (["step:load", "cache:off", "secret:store:key:STORE_KEY"], "rows = list(range(n))"),
    (["step:train", "retries:2", "limit:cpu:2", "limit:nvidia.com/gpu:1", "image:python:3.11", "model:model",
      "metric:loss"], "model = sum(rows) * share\nloss = float(depth or 1)\nprint(über, names)"),
    (["step:return"], "print(loss < lambda_, self)"),
]  # fmt: skip


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("kfp")
    notebook = write_notebook(folder / "nb.ipynb", CELLS)
    content = json.loads(notebook.read_text(encoding="utf-8"))
    content["metadata"]["kubeflow_notebook"] = {"pipeline_name": "nb"}
    notebook.write_text(json.dumps(content), encoding="utf-8")
    api.export(notebook, "kfp", folder / "out")
    return list(yaml.safe_load_all((folder / "out" / "pipeline.yaml").read_text(encoding="utf-8")))


def test_parameters_are_typed_and_have_the_notebooks_defaults(documents: list[dict[str, Any]]) -> None:
    inputs = documents[0]["root"]["inputDefinitions"]["parameters"]
    assert {name: (said["parameterType"], said.get("defaultValue")) for name, said in inputs.items()} == {
        "n": ("NUMBER_INTEGER", 3.0),
        "share": ("NUMBER_DOUBLE", 0.5),
        "names": ("STRING", '["a"]'),  # as a LIST, whole numbers would become floats
        "depth": ("NUMBER_INTEGER", None),
        "uber": ("STRING", "x"),
        "lambda_value": ("NUMBER_DOUBLE", None),  # JSON has no infinity: the settings' own default holds
        "self_value": ("NUMBER_INTEGER", 1.0),
    }


def test_a_component_is_a_step_with_its_artifacts(documents: list[dict[str, Any]]) -> None:
    tasks = documents[0]["root"]["dag"]["tasks"]
    made = documents[0]["components"]["comp-train"]["outputDefinitions"]["artifacts"]
    assert tasks["train"]["dependentTasks"] == ["load"]
    assert {name: said["artifactType"]["schemaTitle"] for name, said in made.items()} == {
        "handed_on": "system.Artifact",
        "metrics": "system.Metrics",
        "model": "system.Model",
    }


def test_what_tags_ask_for_reaches_the_task(documents: list[dict[str, Any]]) -> None:
    tasks = documents[0]["root"]["dag"]["tasks"]
    container = documents[0]["deploymentSpec"]["executors"]["exec-train"]["container"]
    platform = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-load"]
    assert tasks["train"]["retryPolicy"]["maxRetryCount"] == 2
    assert "enableCache" not in tasks["load"]["cachingOptions"]
    assert tasks["train"]["cachingOptions"] == {"enableCache": True}
    assert (container["image"], container["resources"]["cpuLimit"]) == ("python:3.11", 2.0)
    assert container["resources"]["accelerator"]["resourceType"] == "nvidia.com/gpu"
    assert platform["secretAsEnv"][0]["secretName"] == "store"
    assert platform["secretAsEnv"][0]["keyToEnv"] == [{"envVar": "STORE_KEY", "secretKey": "key"}]


def test_nothing_of_this_machine_is_in_the_pipelines_file(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "nb.ipynb", [(["step:a"], "x = 1"), (["step:b"], "print(x)")])
    api.export(notebook, "kfp", tmp_path / "out")
    text = (tmp_path / "out" / "pipeline.yaml").read_text(encoding="utf-8")
    assert [word for word in (str(tmp_path), str(Path.home()), "index-url") if word in text] == []


def test_data_that_is_too_large_for_a_pipelines_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.bin").write_bytes(random.Random(1).randbytes(500_000))
    notebook = write_notebook(tmp_path / "nb.ipynb", [(["step:a"], "content = open('rows.bin', 'rb').read()")])
    with pytest.raises(FindingsError, match=r"rows\.bin would travel in the pipeline's file"):
        api.export(notebook, "kfp", tmp_path / "out")
