"""What a step takes of the machine is measured where its cells run."""

from __future__ import annotations

from pathlib import Path

import pytest

from nb2prod import api
from nb2prod.kernel.usage import Meter
from tests.notebook_maker import write_notebook

MB = 1_000_000


def test_a_meter_counts_processor_seconds_and_the_peak_since_it_began() -> None:
    def peak(size: int) -> int:
        meter = Meter()
        content = bytearray(size)
        content[::4096] = b"x" * len(content[::4096])
        del content
        return meter.read()[1]

    large, small = peak(200 * MB), peak(1 * MB)
    assert large - small > 150 * MB  # the first one's peak is not the second one's
    meter = Meter()
    assert sum(range(3_000_000)) > 0
    assert meter.read()[0] > 0


@pytest.mark.parametrize("engine", ["papermill", "steps"])
def test_each_step_says_what_it_took(engine: str, tmp_path: Path) -> None:
    waste = "content = bytearray(150_000_000)\ncontent[::4096] = b'x' * len(content[::4096])\ndel content"
    rows = [
        ("step:large", waste),
        ("step:busy", "total = sum(i * i for i in range(9_000_000))"),
        ("step:idle", "x = 1"),
    ]
    notebook = write_notebook(tmp_path / "nb.ipynb", rows)
    result = api.run(notebook, engine=engine, trackers=(), runs=tmp_path / "runs")
    large, busy, idle = result.steps
    assert large.memory > idle.memory + 100 * MB
    assert busy.cpu > 3 * idle.cpu
