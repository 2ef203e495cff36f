"""The live display on a terminal: a row for each step above a bar that counts cells."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from nb2prod.core.events import Event, RunFinished, RunStarted
from nb2prod.trackers._console_seen import Row, Seen
from nb2prod.trackers._console_summary import summary_of
from nb2prod.trackers._console_words import counted, duration_text, number_text

_SHOWN_METRICS = 6  # of a step's row in the live display
_MARKS: Mapping[str, tuple[str, str]] = {
    "waiting": ("·", "dim"),
    "finished": ("✓", "green"),
    "failed": ("✗", "red"),
    "skipped": ("–", "dim"),
}


class LiveDisplay:
    """Drawn by rich, again at each event and ten times a second for what runs. `NO_COLOR` is rich's to follow."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._live: Any = None

    def show(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._begin()
        if isinstance(event, RunFinished):
            self.close()
            self._summarise()

    def close(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _begin(self) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.spinner import Spinner

        console = Console(stderr=True, highlight=False)
        spinner = Spinner("dots", style="cyan")
        self._live = Live(
            console=console,
            get_renderable=lambda: _drawing(self._seen, spinner, console.width, console.height),
            refresh_per_second=10,
            redirect_stdout=False,  # the command's own output, which is not ours to touch
        )
        self._live.start()

    def _summarise(self) -> None:
        from rich.console import Console
        from rich.text import Text

        console = Console(stderr=True, highlight=False)
        for style, text in summary_of(self._seen):
            console.print(Text(text, style=style), soft_wrap=True)


def _drawing(seen: Seen, spinner: Any, width: int, height: int) -> Any:
    """The rows, those that fit around the step that runs, and the bar below them."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=1)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=width // 3)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    above, rows, below = _window(list(seen.rows.values()), max(3, height - 6))
    for row in rows:
        table.add_row(*_cells(row, spinner))
    started = seen.started.run if seen.started else ""
    parts: list[Any] = [Text.assemble((seen.notebook, "bold"), (f"  {started}", "dim"))]
    parts += [Text(f"  {counted(above, 'step')} above", style="dim")] if above else []
    parts += [table]
    parts += [Text(f"  {counted(below, 'step')} below", style="dim")] if below else []
    return Group(*parts, *_progress(seen))


def _cells(row: Row, spinner: Any) -> Iterator[Any]:
    from rich.text import Text

    running, idle = row.status == "running", row.status in ("waiting", "skipped")
    mark, style = _MARKS["failed" if row.failed else row.status] if not running else ("", "")
    seconds = time.time() - row.started if running else row.seconds
    yield spinner if running else Text(mark, style=style)
    yield Text(row.name, style="bold" if running else "dim" if idle else "")
    yield Text("" if idle else duration_text(seconds))
    yield Text(row.reason, style="dim") if row.status == "skipped" else _notes(row)


def _notes(row: Row) -> Any:
    """What a row says at its end: its tests, and the first of its metrics."""
    from rich.text import Text

    notes = [Text(row.tests, style="red" if row.failed else "green")] if row.tests else []
    metrics = [f"{name}={number_text(value)}" for name, value in row.metrics.items()]
    notes += [Text(metric, style="cyan") for metric in metrics[:_SHOWN_METRICS]]
    if len(metrics) > _SHOWN_METRICS:
        notes.append(Text(f"{len(metrics) - _SHOWN_METRICS} more", style="dim"))
    notes += [Text(row.again, style="yellow")] if row.again else []
    notes += [Text(row.used, style="dim")] if row.used else []
    return Text("  ").join(notes)


def _progress(seen: Seen) -> Iterator[Any]:
    if seen.finished or not seen.total:
        return
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    line = Table.grid(padding=(0, 2, 0, 0))
    elapsed = duration_text(seen.seconds(time.time()))
    bar = ProgressBar(total=seen.total, completed=min(seen.cells, seen.total), width=32)
    line.add_row(bar, Text(f"{seen.cells} of {counted(seen.total, 'cell')}"), Text(elapsed, style="dim"))
    yield line


def _window(rows: list[Row], room: int) -> tuple[int, list[Row], int]:
    """The rows that fit, with the step that runs among them: (hidden above, shown, hidden below)."""
    if len(rows) <= room:
        return 0, rows, 0
    current = max((index for index, row in enumerate(rows) if row.status != "waiting"), default=0)
    first = min(max(0, current - room + 2), len(rows) - room)
    return first, rows[first : first + room], len(rows) - first - room
