"""What a map came to, added up while it runs and written when it ends: its floors judged, its distributions drawn.

    floors.json     the floors and whether they hold
    report.html     one page: floors, metrics, pictures, the worst items, failures
    report.txt      the same without the pictures
    worst.txt       the items at the bad end of each metric
    plots/NAME.png  the distribution of each metric, with its floors

Results are kept without what they printed: of a million items only numbers, keys and the first line of an error.
"""

from __future__ import annotations

import dataclasses
import json
import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nb2prod.core.distribution import Floor, Judgement, MapReport, headline, report
from nb2prod.core.mapping import ItemResult, MapPlan, MapSummary
from nb2prod.drawing import distribution as drawing
from nb2prod.stages.floors import judge
from nb2prod.storage.codec import plain
from nb2prod.storage.files import write_bytes, write_text

FLOORS = "floors.json"
HTML, TEXT, WORST, PLOTS = "report.html", "report.txt", "worst.txt", "plots"


class Reporter:
    """Hears of a map; `report` is there when it has ended."""

    def __init__(self, floors: Sequence[Floor] = (), *, allow_missing: bool = False) -> None:
        self._floors = floors
        self._allow_missing = allow_missing
        self._plan: MapPlan | None = None
        self._total = 0
        self._results: dict[int, ItemResult] = {}
        self._report: MapReport | None = None

    def begin(self, plan: MapPlan, total: int) -> None:
        self._plan, self._total = plan, total
        # drawing takes a second to import, which the items' own time hides
        threading.Thread(target=_import_drawing, name="nb2prod-drawing", daemon=True).start()

    def hear(self, results: Sequence[ItemResult]) -> None:
        for result in results:
            self._results[result.number] = dataclasses.replace(result, printed="", error=headline(result))

    def end(self, summary: MapSummary) -> None:
        if self._plan is None:
            return  # it never began
        results = [self._results[number] for number in sorted(self._results)]
        judgements = judge(self._floors, results, total=self._total, allow_missing=self._allow_missing)
        promised = dict.fromkeys(name for step in self._plan.pipeline.steps for name in step.metrics)
        title = f"{self._plan.pipeline.notebook.name} over {Path(self._plan.table).name}"
        self._report = report(title, summary, results, judgements, promised)
        write_report(Path(summary.directory), self._report)
        write_text(Path(summary.directory) / FLOORS, as_json(judgements, self._allow_missing))

    @property
    def report(self) -> MapReport:
        assert self._report is not None, "a report is there when the map has ended"
        return self._report


def as_json(judgements: Sequence[Judgement], allow_missing: bool) -> str:
    """What `floors.json` says."""
    told = [document(judgement) for judgement in judgements]
    return json.dumps({"allow_missing": allow_missing, "floors": told}, ensure_ascii=False, indent=1) + "\n"


def document(judgement: Judgement) -> dict[str, Any]:
    """A judged floor as JSON has it; a value that there is not is null."""
    return {
        "floor": judgement.floor.text,
        "holds": judgement.holds,
        "value": judgement.value if math.isfinite(judgement.value) else None,
        "items": judgement.items,
        "missing": judgement.missing,
        "reason": judgement.reason,
        "worst": [{"number": item.number, "key": plain(item.key), "status": item.status} for item in judgement.worst],
    }


def write_report(directory: Path, found: MapReport) -> None:
    """Write the report's files into a run's folder. Raises StoreError."""
    pictures = {drawing.file_name(name): png for name, png in drawing.pictures_of(found).items()}
    for name, png in pictures.items():
        write_bytes(directory / PLOTS / f"{name}.png", png)
    write_text(directory / HTML, drawing.as_html(found, pictures))
    write_text(directory / TEXT, drawing.as_text(found))
    write_text(directory / WORST, drawing.worst_table(found))


def _import_drawing() -> None:
    import matplotlib.backends.backend_agg
    import matplotlib.figure  # noqa: F401
