"""A map becomes one package: each row is predicted by its key's model, and a key without one gets no guess."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from nb2prod.core.errors import FindingsError, NotebookFailed, NotProved, StoreError, UsageError
from nb2prod.core.mapping import ItemResult, MapPlan
from nb2prod.kernel import map_proof, pickling
from nb2prod.serving.errors import Refusal
from nb2prod.serving.package_folder import open_folder
from nb2prod.serving.scorer import MlflowScorer
from nb2prod.stages import routes
from nb2prod.stages.certificate.compare import path_of
from nb2prod.stages.compile import compile
from nb2prod.stages.map_package import package
from nb2prod.stages.map_probe import probe_of
from nb2prod.stages.map_sample import sample
from nb2prod.stages.mapping import jobs
from nb2prod.stages.read import read
from nb2prod.stages.routes import Fallback, Finished, fallback_of
from nb2prod.stages.verify import examine_package, read_package
from nb2prod.storage import checksums
from nb2prod.storage.row_answers import asked, asked_apart, part
from nb2prod.storage.shards import open_shards
from tests.notebook_maker import write_notebook

NOTEBOOK = [
    (["parameters"], "rows: 'DataFrame' = None"),
    (["imports"], "import pandas as pd\nfrom sklearn.linear_model import LinearRegression"),
    (["functions"], "def doubled(frame):\n    return frame * 2"),
    (["step:fit", "model:model", "example:X"], "X = rows[['x']]\nmodel = LinearRegression().fit(X, rows['y'])"),
]


def plan_of(directory: Path, by=("route", "stop"), functions: str = "") -> MapPlan:
    cells = [(tags, functions if functions and "functions" in tags else source) for tags, source in NOTEBOOK]
    pipeline = compile(read(write_notebook(directory / "delays.ipynb", cells)))
    return MapPlan("map-1", pipeline, str(directory / "run"), "routes.csv", "0" * 64, "1" * 64, by=tuple(by))


def finished(
    directory: Path,
    items: list[tuple[dict[str, Any], Any, Any]],
    plan: MapPlan | None = None,
    namespace: dict[str, Any] | None = None,
    **changes: Any,
) -> Finished:
    """A map whose items have these keys, models and examples; one without a model failed."""
    plan, own = plan or plan_of(directory, items[0][0]), namespace or {}
    module, results = jobs.job_of(plan).module, []
    with open_shards(Path(plan.directory)) as shards:
        for number, (key, model, example) in enumerate(items):
            if model is None:
                results.append(ItemResult(number, key, "failed", 0.1, error="ValueError: too few"))
                continue
            pickled = pickling.dump(model, "model", module, own)
            shards.put_proof(number, map_proof.proof_of(model, example, pickled, module, own))
            results.append(ItemResult(number, key, "ok", 0.1, {"r2": 0.5}, kept=shards.put(pickled.content, number)))
    return Finished(plan, results, 1_700_000_000.0, **{"total": len(items), **changes})


def line(slope: float, count: int = 7) -> tuple[Any, pd.DataFrame]:
    X = pd.DataFrame({"x": np.linspace(0, 3, count)})
    return LinearRegression().fit(X, slope * X["x"] + 1), X


def three(directory: Path, **changes: Any) -> Finished:
    """Routes A and B at stop 1, B at stop 2; route C failed."""
    keys = [{"route": "A", "stop": 1}, {"route": "B", "stop": 1}, {"route": "B", "stop": 2}]
    items = [(key, *line(slope)) for key, slope in zip(keys, (1.0, 10.0, -5.0), strict=True)]
    return finished(directory, [*items, ({"route": "C", "stop": 1}, None, None)], **changes)


def of_version(directory: Path, factor: int) -> Finished:
    """A map of a notebook whose class multiplies by `factor`."""
    source = f"class Times:\n    def predict(self, X):\n        return X['x'].to_numpy() * {factor}"
    directory.mkdir()
    plan = plan_of(directory, ("k",), source)
    own: dict[str, Any] = {"__name__": "__main__"}
    exec(source, own)
    return finished(directory, [({"k": 1}, own["Times"](), line(1.0)[1])], plan=plan, namespace=own)


def rows(*found: tuple[str, int, float]) -> pd.DataFrame:
    return pd.DataFrame(found, columns=["route", "stop", "x"])


@pytest.fixture(scope="module")
def refusing(tmp_path_factory) -> Path:
    """The package of `three`, which refuses keys without a model. It must not be changed."""
    folder = tmp_path_factory.mktemp("refusing")
    package(three(folder), folder / "package")
    return folder / "package"


def routed(folder: Path, made: Finished, fallback: Fallback) -> Any:
    """What a package would load of this map, without the package around it."""
    good = [result for result in made.results if result.kept]
    keys = routes.keys_of(made.plan, good)
    routes.refuse_fallback(made, good, fallback)
    packed = routes.pack(folder / "packed", made, good, lambda _: None)
    shown = sample(made.plan, keys, good, fallback)
    routes.write_routes(packed, good, keys, shown.inputs, fallback, shown.answer)
    return routes.routed_model()["Routed"](str(packed.folder))


def test_each_row_is_predicted_by_the_model_of_its_key_in_the_order_of_the_rows(refusing):
    made = read_package(refusing)
    assert (made.parity.verdict, made.parity.paths[0].rows, made.format.format) == ("equal", 15, "cloudpickle")
    model = mlflow.pyfunc.load_model(str(refusing))
    predicted = model.predict(rows(("B", 2, 1.0), ("A", 1, 2.0), ("B", 1, 3.0), ("B", 2, 2.0), ("A", 1, 0.0)))
    assert predicted == pytest.approx([-4.0, 3.0, 31.0, -9.0, 1.0])
    manifest = json.loads((refusing / "package.json").read_text())
    assert (manifest["map"]["keys"], manifest["map"]["models"], manifest["map"]["items"]) == (["route", "stop"], 3, 4)
    card = (refusing / "model_card.md").read_text()
    assert "Of 4 items\n3 have a model here" in card
    assert "The call is refused" in card


def test_the_certificate_has_every_path_to_the_models_and_to_keys_without_one(refusing):
    stated = json.loads((refusing / "parity.json").read_text())
    asked = [(path["path"], path["verdict"], path["marks"]) for path in stated["paths"]]
    paths = ("fresh process", "service predict", "service invocations", "service v2")
    assert asked == [(path, "equal", "=" * 15 + "r" * 5) for path in paths]
    outcomes = json.loads((refusing / "parity" / "outcomes.json").read_text())
    assert outcomes["what"][14:] == [
        "route=B, stop=2, row 4",
        "route never seen",
        "stop never seen",
        "a key never seen",
        "route missing",
        "stop of another item",
    ]
    reasons = {one["path"]: one["reason"] for one in stated["left_out"]}
    assert reasons["exported project"] == "of a map there is no project"
    examined = examine_package(refusing)
    assert (examined.problems, examined.found.verdict) == ((), "equal")
    assert [path.path for path in examined.found.paths] == list(paths)


def test_what_a_key_without_a_model_gets_is_certified_by_its_fallback(tmp_path):
    """Not by the package: what the item's own model says, or nothing and a reason. A package that guesses differs."""
    made = three(tmp_path)
    good = [result for result in made.results if result.kept]
    marks = {}
    for fallback in (Fallback("refuse"), Fallback("null"), Fallback("item", 2)):
        (tmp_path / fallback.kind).mkdir()
        model = routed(tmp_path / fallback.kind, made, fallback)
        for wanted in (Fallback("refuse"), Fallback("null"), Fallback("item", 2)):
            shown = sample(made.plan, ("route", "stop"), good, wanted)
            probed = probe_of(made, good, ("route", "stop"), shown, wanted)
            table, count = probed.table, probed.count

            def ask(start, stop, model=model, table=table):
                return asked(model.predict, part(table, start, stop), stop - start)

            found = [*asked_apart(ask, 0, 15), *asked_apart(ask, 15, count)]
            path = path_of("fresh process", probed.rows, found, 0.0, {})
            marks[wanted.kind, fallback.kind] = path.marks[15:]
    assert marks == {
        ("refuse", "refuse"): "rrrrr",
        ("refuse", "null"): "xxxxx",
        ("refuse", "item"): "xxxxx",
        ("null", "refuse"): "rrrrr",
        ("null", "null"): "=====",
        ("null", "item"): "xxxxx",
        ("item", "refuse"): "rrrrr",
        ("item", "null"): "xxxxx",
        ("item", "item"): "=====",
    }


def test_two_versions_of_a_notebook_are_two_packages_in_one_process(tmp_path):
    """Each predicts with its own class, of the same name in both."""
    for factor in (2, 3):
        package(of_version(tmp_path / str(factor), factor), tmp_path / f"times {factor}")
    models = [mlflow.pyfunc.load_model(str(tmp_path / f"times {factor}")) for factor in (2, 3, 2)]
    asked = pd.DataFrame({"k": [1], "x": [10.0]})
    assert [model.predict(asked).tolist() for model in models] == [[20.0], [30.0], [20.0]]


def test_a_map_of_an_earlier_version_whose_models_name_the_plain_module_is_refused(tmp_path):
    made = of_version(tmp_path / "run", 2)
    plain = made.plan.pipeline.module
    own: dict[str, Any] = {"__name__": "__main__"}
    exec(plain.source, own)
    with open_shards(Path(made.plan.directory)) as shards:
        kept = shards.put(pickling.dump(own["Times"](), "model", plain, own).content, 0)
    earlier = dataclasses.replace(made, results=[dataclasses.replace(made.results[0], kept=kept)])
    with pytest.raises(NotProved, match="an earlier nb2prod ran the map: its models name the notebook's functions as"):
        package(earlier, tmp_path / "package")


def test_two_builds_have_one_digest_in_whichever_order_items_were_done(tmp_path, refusing):
    made = three(tmp_path)
    package(dataclasses.replace(made, results=made.results[::-1]), tmp_path / "elsewhere")
    assert checksums.verify(tmp_path / "elsewhere") == checksums.verify(refusing)


def test_a_key_without_a_model_is_refused_by_name_and_row(refusing):
    model = mlflow.pyfunc.load_model(str(refusing))
    with pytest.raises(mlflow.MlflowException, match="no model for row 1: route=C, stop=1; row 2: route=A, stop=2"):
        model.predict(rows(("A", 1, 1.0), ("C", 1, 1.0), ("A", 2, 1.0)))


def test_the_service_refuses_such_rows_without_repeating_the_data(refusing):
    scorer = MlflowScorer(refusing, open_folder(refusing))
    with pytest.raises(Refusal) as refused:
        scorer.predict(rows(("A", 1, 1.0), ("secret route", 1, 1.0)).to_dict("records"), fill=True)
    told = [(problem.field, problem.reason, problem.row) for problem in refused.value.fields]
    assert (refused.value.status, told) == (422, [("route, stop", "there is no model for this key", 1)])
    assert "secret route" not in f"{refused.value.reason}{told}"


def test_with_null_a_row_without_a_model_has_no_prediction_and_a_reason(tmp_path):
    model = routed(tmp_path, three(tmp_path), Fallback("null"))
    answer = model.predict(rows(("C", 1, 1.0), ("A", 1, 1.0)))
    assert answer["prediction"].isna().tolist() == [True, False]
    assert answer["prediction"][1] == pytest.approx(2.0)
    assert answer["reason"].tolist() == ["there is no model for this key", ""]
    none = model.predict(rows(("C", 1, 1.0)))
    assert none["prediction"].isna().tolist() == [True]
    assert none.dtypes.to_dict() == answer.dtypes.to_dict()
    all_there = model.predict(rows(("A", 1, 1.0)))
    assert (all_there.columns.tolist(), all_there["reason"].tolist()) == (["prediction", "reason"], [""])


def test_whole_numbers_stay_whole_beside_a_missing_prediction(tmp_path):
    X = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0]})
    items = [
        ({"k": key}, LogisticRegression().fit(X, [2**60 + low, 2**60 + low, 7, 7]), X)
        for key, low in (("a", 1), ("b", 3))
    ]
    model = routed(tmp_path, finished(tmp_path, items), Fallback("null"))
    answer = model.predict(pd.DataFrame({"k": ["b", "z"], "x": [0.0, 0.0]}))
    assert answer["prediction"].tolist() == [2**60 + 3, pd.NA]


def test_the_model_of_a_named_item_or_a_pooled_one_answers_instead(tmp_path):
    unseen = rows(("Z", 9, 1.0), ("B", 1, 1.0))
    assert routed(tmp_path, three(tmp_path), Fallback("item", 2)).predict(unseen) == pytest.approx([-4.0, 11.0])
    pooled = pickling.dump(line(100.0)[0], "model", pickling.NO_MODULE, {}).content
    (tmp_path / "again").mkdir()
    made = three(tmp_path / "again", pooled=pooled)
    assert routed(tmp_path / "again", made, Fallback("pooled")).predict(unseen) == pytest.approx([101.0, 11.0])


def test_a_fallback_that_would_guess_or_is_not_there_is_refused(tmp_path):
    for text in ("mean", "item", "item:x", "refuse:1", ""):
        with pytest.raises(UsageError, match="there is no fallback"):
            fallback_of(text)
    assert [fallback_of(text).text for text in ("refuse", "null", "item:3", "pooled")] == [
        "refuse",
        "null",
        "item:3",
        "pooled",
    ]
    for fallback, says in ((Fallback("item", 3), "item 3 has no model"), (Fallback("pooled"), "no pooled model")):
        with pytest.raises(UsageError, match=says):
            package(three(tmp_path), tmp_path / "package", fallback=fallback)
    with pytest.raises(NotebookFailed, match="4 of 5 items were run"):
        package(three(tmp_path, total=5), tmp_path / "package")
    assert not (tmp_path / "package").exists()


def test_keys_of_every_type_find_their_model_also_a_missing_one(tmp_path):
    keys = [
        {"a": 1, "b": "1", "c": True, "d": 0.5, "e": pd.Timestamp("2024-01-01")},
        {"a": 1, "b": "ü, 2", "c": False, "d": -0.0, "e": pd.Timestamp("2024-01-02")},
        {"a": 2, "b": None, "c": True, "d": float("nan"), "e": pd.Timestamp("2024-01-01")},
    ]
    items = [(key, *line(float(number))) for number, key in enumerate(keys)]
    package(finished(tmp_path, items), tmp_path / "package")
    model = mlflow.pyfunc.load_model(str(tmp_path / "package"))
    asked = pd.DataFrame(keys[::-1]).assign(x=1.0)
    asked.loc[asked["d"] == 0, "d"] = 0.0
    assert model.predict(asked) == pytest.approx([3.0, 2.0, 1.0])


def test_a_key_that_the_model_takes_as_input_too_is_one_column(tmp_path):
    items = []
    for stop in (1, 2):
        X = pd.DataFrame({"x": [0.0, 1.0, 2.0], "stop": [stop] * 3})
        items.append(({"stop": stop}, LinearRegression().fit(X, X["x"] * stop), X))
    model = routed(tmp_path, finished(tmp_path, items), Fallback())
    assert model.predict(pd.DataFrame({"x": [2.0, 2.0], "stop": [2, 1]})) == pytest.approx([4.0, 2.0])


def test_it_loads_where_nothing_of_nb2prod_is(refusing):
    script = (
        "import sys; sys.modules['nb2prod'] = None\nimport mlflow.pyfunc, pandas\n"
        "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        "print(model.predict(pandas.DataFrame({'route': ['B'], 'stop': [1], 'x': [1.0]}))[0])"
    )
    done = subprocess.run([sys.executable, "-I", "-c", script, str(refusing)], capture_output=True, text=True, cwd="/")
    assert float(done.stdout) == pytest.approx(11.0), done.stderr


# as a notebook defines them: in no module that could be imported elsewhere
OWN: dict[str, Any] = {"__name__": "__main__", "np": np}
exec(
    """
class Drawing:
    def predict(self, X):
        return np.random.default_rng().normal(size=len(X))

class Forgetful:
    fresh = True
    def __getstate__(self):
        return {"fresh": False}
    def predict(self, X):
        return np.zeros(len(X)) if self.fresh else np.ones(len(X))
""",
    OWN,
)


def test_models_that_cannot_be_proved_are_refused_and_nothing_is_left(tmp_path):
    X = line(1.0)[1]
    for number, (model, example, error, says) in enumerate(
        [
            (OWN["Drawing"](), X, NotProved, "something else each time"),
            (OWN["Forgetful"](), X, NotProved, "predicts otherwise than the notebook"),
            (line(1.0)[0], X.rename(columns={"x": "y"}), NotProved, "cannot predict on the example"),
            (line(1.0)[0], X.to_numpy(), UsageError, "columns have no names"),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(error, match=says):
            package(finished(folder, [({"k": 1}, model, example)]), folder / "package")
        assert not (folder / "package").exists()


def test_a_map_without_a_model_or_with_two_of_one_key_is_refused(tmp_path):
    with pytest.raises(NotebookFailed, match="no item of the map has a model"):
        package(finished(tmp_path, [({"k": 1}, None, None)]), tmp_path / "package")
    with pytest.raises(UsageError, match="items 0 and 1 have one key"):
        package(finished(tmp_path, [({"k": 1}, *line(1.0)), ({"k": 1}, *line(2.0))]), tmp_path / "package")
    NOTEBOOK[-1][0].remove("example:X")
    try:
        with pytest.raises(FindingsError, match="no step is tagged example"):
            package(three(tmp_path), tmp_path / "package")
    finally:
        NOTEBOOK[-1][0].append("example:X")


def test_damage_in_a_shard_is_seen_before_and_after_packing(tmp_path, refusing):
    made = three(tmp_path)
    shard = Path(made.plan.directory) / "models" / "shard-00000.bin"
    shutil.copytree(refusing, tmp_path / "package")
    content = shard.read_bytes()
    shard.write_bytes(content.replace(b"LinearRegression", b"LinearRegressioM"))
    with pytest.raises(StoreError, match="SHA-256 differs"):
        package(made, tmp_path / "other")
    packed = tmp_path / "package" / "artifacts" / "models" / "shard-00000.bin"
    packed.write_bytes(packed.read_bytes().replace(b"LinearRegression", b"LinearRegressioM"))
    with pytest.raises(NotProved, match=r"shard-00000\.bin was changed"):
        read_package(tmp_path / "package")
    with pytest.raises(ValueError, match="not the one that was packed"):
        mlflow.pyfunc.load_model(str(tmp_path / "package")).predict(rows(("A", 1, 1.0)))
