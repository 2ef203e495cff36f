"""The cases are sound: named, reasoned, recorded. What is made of them is tested where steps are isolated."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from nb2prod import plugins

HERE = Path(__file__).parent
FILES = sorted(path for path in HERE.glob("*.json") if path.name != "cells.json")


def cases_of(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_every_name_is_there_once() -> None:
    counts = Counter(case["name"] for path in [*FILES, HERE / "cells.json"] for case in cases_of(path))
    assert [name for name, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_case_has_a_reason_an_expectation_and_what_every_cell_prints(path: Path) -> None:
    for case in cases_of(path):
        assert set(case) - {"code"} == {"name", "reason", "expect", "cells"}, case["name"]
        assert case["reason"].endswith("."), case["name"]
        assert case["expect"] in ("same", "refused", "either"), case["name"]
        assert [type(cell["prints"]) for cell in case["cells"]] == [str] * len(case["cells"]), case["name"]
        assert len(case["cells"]) >= 2, case["name"]
        assert any(cell["prints"] for cell in case["cells"]), case["name"]


def test_the_code_of_a_refusal_is_a_check() -> None:
    known = {name for name, _ in plugins.every("checks")}
    said = {case["code"] for path in FILES for case in cases_of(path) if "code" in case}
    assert said - known == set()
