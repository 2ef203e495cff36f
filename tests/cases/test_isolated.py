"""Every case in isolated steps: it prints what the whole notebook prints in one kernel, or it is refused with a code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from nb2prod import api
from nb2prod.core.errors import FindingsError
from tests.notebook_maker import write_notebook

HERE = Path(__file__).parent
CASES = [case for path in sorted(HERE.glob("*.json")) for case in json.loads(path.read_text(encoding="utf-8"))]


def printed(executed: str) -> list[str]:
    """The stdout of each of the author's cells."""
    cells = nbformat.read(executed, as_version=4).cells
    return [
        _without_times("".join(o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stdout"))
        for cell in cells
        if "injected-parameters" not in cell.metadata.get("tags", ())
    ]


def _without_times(text: str) -> str:
    return re.sub(r"[\d.]+ (?:[µμn]?s|ns)\b", "TIME", text)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_isolated_steps_print_the_same_or_refuse(
    case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cells = case["cells"]
    notebook = write_notebook(tmp_path / "case.ipynb", [(cell["tags"], cell["source"]) for cell in cells])
    expect = case.get("expect", "same")
    try:
        result = api.run(notebook, engine="steps", trackers=(), runs=tmp_path / "runs", allow_shell=True)
    except FindingsError as refused:
        assert expect in ("refused", "either"), str(refused)
        assert case.get("code", "") in str(refused)
        return
    if result.failure is not None and result.failure.kind == "isolation":
        assert expect in ("refused", "either"), result.failure.message
        return
    assert result.failure is None
    assert printed(result.notebook) == [_without_times(cell["prints"]) for cell in cells]
