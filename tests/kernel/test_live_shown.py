"""What `%pipeline` answers: counted, escaped, and with links that lead to the cells."""

from __future__ import annotations

from pathlib import Path

from nb2prod.core.finding import Finding
from nb2prod.core.notebook import Cell, Notebook
from nb2prod.kernel.live_shown import findings

NOTEBOOK = Notebook(Path("a.ipynb"), (Cell(0, "code", "\n%%step <a>\nx = y", id="a-cell"), Cell(1, "code", "z")))


def found(cell: int | None) -> Finding:
    return Finding("undefined-name", "error", "nothing binds `y` & co", "bind it", cell, 2)


def test_findings_are_counted_in_the_head() -> None:
    shown = findings([found(0), found(1), Finding("no-seed", "warning", "no seed")], NOTEBOOK)
    assert shown.text.splitlines()[0] == "2 errors, 1 warning"
    assert shown.page.startswith("<b>2 errors, 1 warning</b>")


def test_a_finding_leads_to_its_cell_and_tells_how_it_begins() -> None:
    page = findings([found(0)], NOTEBOOK).page
    assert '<a href="#cell-id=a-cell" title="%%step &lt;a&gt;">' in page
    assert "nothing binds <code>y</code> &amp; co" in page


def test_without_an_id_or_a_cell_there_is_no_link() -> None:
    assert "<a " not in findings([found(1), found(None)], NOTEBOOK).page


def test_nothing_found_says_so() -> None:
    assert findings([], NOTEBOOK).text == "no findings"
