"""`nb2prod cache`: what is kept, what a run would take of it, and removing it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nb2prod.cli import main
from tests.notebook_maker import write_notebook

ROWS = [
    ("parameters", "k: int = 2\nother: int = 1"),
    ("step:one", "a = [1, 2]"),
    ("step:two", "b = k * len(a)\nprint(b)"),
    ("step:three", "print(b)"),
]


def said(*words: str) -> str:
    result = CliRunner().invoke(main, list(words))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_looking_into_the_cache_and_emptying_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_notebook(tmp_path / "nb.ipynb", ROWS)
    assert "nothing is kept here" in said("cache")
    assert {row["reason"] for row in explained()} == {"first run"}
    said("run", "nb.ipynb", "--engine", "steps", "--no-track")
    assert [row["taken"] for row in explained()] == [True, True, True]
    assert [(row["taken"], row["reason"]) for row in explained("-p", "k", "3")] == [
        (True, "nothing that it depends on has changed"),
        (False, "parameter k changed"),
        (False, "step two would run before it; " + IF_SAME),
    ]
    kept = json.loads(said("cache", "--json"))["entries"]
    assert sorted(entry["step"] for entry in kept) == ["", "one", "three", "two"]
    assert "4 entries" in said("cache")
    assert json.loads(said("cache", "prune", "--all", "--json"))["entries"] == 4
    assert json.loads(said("cache", "--json"))["entries"] == []


IF_SAME = "taken after all, if that leaves the same"


def explained(*words: str) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = json.loads(said("cache", "explain", "nb.ipynb", "--json", *words))["steps"]
    return steps
