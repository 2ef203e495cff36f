"""What a package's contract says of its columns: a rule is enforced and documented, what was seen is only told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nb2prod.serving import openapi
from nb2prod.serving.app import create_app
from nb2prod.serving.errors import Refusal, ServingError
from nb2prod.serving.package_folder import PackageFolder, open_folder
from nb2prod.serving.rows import Validator

COLUMNS = {
    "city": {"description": "where the customer lives", "values": ["Rome", "Köln", "NA"], "enforced": True},
    "score": {"minimum": 0, "maximum": 1, "enforced": True},
    "age": {"minimum": 18, "maximum": 90},
}


@pytest.fixture
def known(customer_model: Path, tmp_path: Path, package_of: Callable[..., str]) -> PackageFolder:
    folder = shutil.copytree(customer_model, tmp_path / "copy")
    (folder / "contract.json").write_text(json.dumps({"schema": "nb2prod/contract/1", "columns": COLUMNS}))
    package_of(folder)
    return open_folder(folder)


def _validator(known: PackageFolder) -> Validator:
    assert known.signature is not None
    return Validator(known.signature, known.contract)


def test_rules_are_enforced_and_what_was_seen_is_not(known: PackageFolder, customer: dict[str, Any]) -> None:
    validator = _validator(known)
    assert len(validator.rows([{**customer, "age": 17}, {**customer, "score": None}, {**customer, "score": 1}])) == 3
    with pytest.raises(Refusal) as caught:
        validator.rows([{**customer, "city": "Oslo"}, {**customer, "score": 1.5}])
    assert [(p.row, p.field, p.reason) for p in caught.value.fields] == [
        (0, "city", "not one of the values that the model knows"),
        (1, "score", "not in the range that the model knows"),
    ]


def test_the_schema_has_rules_as_rules_and_what_was_seen_beside_them(known: PackageFolder) -> None:
    document = openapi.document(known, _validator(known), needs_token=False)
    row = document["components"]["schemas"]["Row"]["properties"]
    assert row["city"]["enum"] == ["Rome", "Köln", "NA"]
    assert row["city"]["description"] == "where the customer lives"
    assert (row["score"]["minimum"], row["score"]["maximum"]) == (0, 1)
    assert row["age"]["x-seen-range"] == [18, 90]
    assert "enum" not in row["age"]


def test_predictions_have_the_types_of_the_signatures_outputs(known: PackageFolder) -> None:
    document = openapi.document(known, _validator(known), needs_token=False)
    answer = document["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    number = {"type": ["number", "null"]}
    assert answer["properties"]["predictions"] == {"type": "array", "items": {"type": "array", "items": number}}


def test_a_contract_that_cannot_be_read_is_refused(
    customer_model: Path, tmp_path: Path, package_of: Callable[..., str]
) -> None:
    folder = shutil.copytree(customer_model, tmp_path / "copy")
    (folder / "contract.json").write_text('{"columns": {"age": {"minimum": "18"}}}')
    package_of(folder)
    with pytest.raises(ServingError, match="the contract cannot be read"):
        open_folder(folder)


def test_with_a_token_only_who_has_it_sees_values_of_the_example(
    customer_model: Path, serving: Callable[[Any], Any]
) -> None:
    with serving(create_app(customer_model, token="sesame", loader=lambda folder, known: None)) as client:  # type: ignore[arg-type, return-value]
        asked = (client.get("/openapi.json", headers=given) for given in ({}, {"authorization": "Bearer sesame"}))
        without, with_token = (one.json()["components"]["schemas"]["PredictRequest"] for one in asked)
    assert ("examples" in without, len(with_token["examples"][0]["rows"])) == (False, 3)
