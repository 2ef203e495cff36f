"""Every case in isolated steps: it prints what the whole notebook prints in one kernel, or is refused with a code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
    """What `%%time` prints is another time in every run (`0 ns`, `1.2 µs`, `1e+03 ns`)."""
    return re.sub(r"^(CPU times|Wall time): .*$", r"\1: TIME", text, flags=re.MULTILINE)


def isolated(case: dict[str, Any], folder: Path) -> tuple[list[str] | None, str]:
    """(what the cells print, "") or (None, why the notebook is refused)."""
    notebook = write_notebook(folder / "case.ipynb", [(cell["tags"], cell["source"]) for cell in case["cells"]])
    try:
        result = api.run(notebook, engine="steps", trackers=(), runs=folder / "runs", allow_shell=True)
    except FindingsError as refused:
        return None, str(refused)
    if result.failure is not None and result.failure.kind == "isolation":
        return None, result.failure.message
    assert result.failure is None
    return printed(result.notebook), ""


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[tuple[list[str] | None, str]]]]:
    """What came of every case that is asked for, two at a time: each is a run with processes of its own."""
    chosen = [item.callspec.params["case"] for item in request.session.items if hasattr(item, "callspec")
              and "case" in item.callspec.params and item.path == Path(__file__)]  # fmt: skip
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield {case["name"]: pool.submit(isolated, case, tmp_path_factory.mktemp("case")) for case in chosen}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_isolated_steps_print_the_same_or_refuse(
    case: dict[str, Any], outcomes: dict[str, Future[tuple[list[str] | None, str]]]
) -> None:
    said, refusal = outcomes[case["name"]].result()
    if said is None:
        assert case.get("expect", "either") in ("refused", "either"), refusal
        assert case.get("code", "") in refusal
    else:
        assert said == [_without_times(cell["prints"]) for cell in case["cells"]]
