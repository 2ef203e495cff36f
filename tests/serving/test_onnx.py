"""A package with a proved ONNX translation is answered by it, without the libraries that made the model."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nb2prod.serving.app import create_app
from nb2prod.serving.errors import ServingError
from nb2prod.serving.loading import load_fastest, load_translation
from nb2prod.serving.onnx_scorer import is_translated
from nb2prod.serving.package_folder import open_folder

pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
skl2onnx = pytest.importorskip("skl2onnx", reason="the extra onnx is not installed")

COLUMNS = ["size", "age", "city"]


@pytest.fixture(scope="module")
def homes() -> Any:
    import numpy
    import pandas

    draw, n = numpy.random.default_rng(0), 300
    size = draw.normal(80, 20, n).astype("float32").astype("float64")
    size[::10] = numpy.nan
    return pandas.DataFrame({"size": size, "age": draw.integers(0, 99, n), "city": draw.choice(["Rome", "Köln"], n)})


@pytest.fixture(scope="module")
def translated(homes: Any, tmp_path_factory: pytest.TempPathFactory, package_of: Callable[..., str]) -> Path:
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    columns = make_column_transformer(
        (SimpleImputer(), ["size"]), (OneHotEncoder(), ["city"]), ("passthrough", ["age"])
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=5000))
    model.fit(homes, (homes["age"] > 50).map({True: "old", False: "new"}))
    folder = tmp_path_factory.mktemp("models") / "homes"
    mlflow.sklearn.save_model(
        model,
        folder,
        signature=infer_signature(homes, model.predict(homes)),
        input_example=homes.head(3),
        pip_requirements=["mlflow-skinny", "scikit-learn"],
        serialization_format="cloudpickle",
    )
    shape = [None, 1]
    types = zip(COLUMNS, (FloatTensorType(shape), Int64TensorType(shape), StringTensorType(shape)), strict=True)
    made = skl2onnx.to_onnx(model, initial_types=list(types), options={"zipmap": False})
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(made.SerializeToString())
    (folder / "onnx" / "serving.json").write_text('{"schema": "nb2prod/onnx/1", "output": "label"}')
    _prove(folder, "equal")
    package_of(folder, name="homes", version="1")
    return folder


def _prove(folder: Path, verdict: str) -> None:
    (folder / "parity.json").write_text(json.dumps({"paths": [{"path": "onnx", "verdict": verdict}]}))


def _rows(table: Any) -> list[dict[str, Any]]:
    return [{k: None if v != v else v for k, v in row.items()} for row in table.to_dict("records")]


def test_the_translation_answers_what_the_model_does(
    translated: Path, homes: Any, serving: Callable[[Any], Any]
) -> None:
    import mlflow.pyfunc

    expected = mlflow.pyfunc.load_model(str(translated)).predict(homes).tolist()
    rows = _rows(homes)
    assert is_translated(translated, open_folder(translated))
    with serving(create_app(translated)) as client:
        assert client.get("/").json()["runtime"] == "onnx"
        assert client.post("/predict", json={"rows": rows}).json()["predictions"] == expected
        alone = [client.post("/predict", json={"rows": [row]}).json()["predictions"][0] for row in rows[:20]]
        assert alone == expected[:20]
        assert client.post("/invocations", json={"dataframe_records": rows[:5]}).json()["predictions"] == expected[:5]
        refused = client.post("/predict", json={"rows": [{**rows[0], "size": 1e39}]})
        assert (refused.status_code, refused.json()["error"]["fields"][0]["field"]) == (422, "size")


def test_neither_pandas_nor_scikit_learn_nor_mlflow_is_imported(translated: Path) -> None:
    program = """
import json, sys
from nb2prod.serving.app import create_app
from starlette.testclient import TestClient
app = create_app(__import__("pathlib").Path(sys.argv[1]))
with TestClient(app) as client:
    app.service.settled.wait(60)
    answer = client.post("/predict", json={"rows": [{"size": 80.0, "age": 3, "city": "Rome"}]})
    assert client.get("/openapi.json").status_code == client.get("/metrics").status_code == 200
    assert __import__("os").environ["ORT_DISABLE_TELEMETRY"] == "1"  # it would tell its maker over the network
    heavy = [name for name in ("pandas", "sklearn", "mlflow", "scipy", "fastapi") if name in sys.modules]
    print(json.dumps([answer.json()["predictions"], heavy]))
"""
    done = subprocess.run([sys.executable, "-c", program, str(translated)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [["new"], []]


@pytest.mark.parametrize("change", ["different", "no proof", "no package"])
def test_without_a_proof_the_model_itself_answers(
    translated: Path, tmp_path: Path, package_of: Callable[..., str], change: str
) -> None:
    folder = shutil.copytree(translated, tmp_path / "copy")
    _prove(folder, change) if change == "different" else (folder / "parity.json").unlink()
    package_of(folder)
    if change == "no package":
        (folder / "package.json").unlink()
        (folder / "checksums").unlink()
    known = open_folder(folder)
    assert (load_fastest(folder, known).runtime, is_translated(folder, known)) == ("mlflow", False)
    with pytest.raises(ServingError, match="prove"):
        load_translation(folder, known)
