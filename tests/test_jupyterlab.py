"""The sample notebooks in a real JupyterLab in a real browser, from the first cell to the last, as a person runs them.

The kernel alone is tested elsewhere. Here is what only the whole of it can show: that cells come with their ids, that
the notebook's file is found, that reports arrive as HTML and drawings as pictures, and that a change which nobody
saved is noticed. What happened is read from the file that JupyterLab saves, as it draws only the cells in view.
"""

from __future__ import annotations

import contextlib
import html
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.notebook_maker import write_notebook

CHROMIUM = Path("/usr/bin/chromium")
if not CHROMIUM.exists():
    pytest.skip(f"no browser: {CHROMIUM} is missing", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: it drives the browser")
pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
FLAGS += ("--disable-component-update", "--disable-sync")
TOKEN = "only-for-this-test"
QUIET = {
    "@jupyterlab/apputils-extension:announcements": True,
    "@jupyterlab/extensionmanager-extension:plugin": True,
}
ALL_MAY_TAKE = 120.0  # seconds for the cells of a notebook; they take a tenth of it
SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Lab:
    """JupyterLab at work on a folder, with the browser that a test looks at it with."""

    folder: Path
    url: str
    browser: Any
    originals: dict[Path, bytes]

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[OpenNotebook]:
        """A notebook of the folder in a tab of its own; its kernel is gone afterwards."""
        page = self.browser.new_page(viewport={"width": 1200, "height": 900})
        page.goto(f"{self.url}/lab/tree/{name}?token={TOKEN}&reset")
        # JupyterLab drops cells that it is told to run before it knows the kernel; the status bar shows when it does
        page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()
        try:
            yield OpenNotebook(self.folder / name, page)
        finally:
            page.close()
            for session in self.asked("GET", "/api/sessions"):
                self.asked("DELETE", f"/api/sessions/{session['id']}")

    def asked(self, method: str, path: str) -> Any:
        request = urllib.request.Request(self.url + path, method=method, headers={"Authorization": f"token {TOKEN}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = answer.read()
        return json.loads(body) if body else None


@dataclass(frozen=True)
class OpenNotebook:
    path: Path
    page: Any

    def run_all(self) -> list[Any]:
        """Run → Run All Cells; returns the code cells, as saved when each of them had run or one had failed."""
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        return self.saved_when(lambda cells: all(cell.execution_count for cell in cells) or bool(errors(cells)))

    def saved_when(self, done: Callable[[list[Any]], bool]) -> list[Any]:
        """Save with Ctrl+S until what is saved is as wanted."""
        until = time.monotonic() + ALL_MAY_TAKE
        while time.monotonic() < until:
            self.page.keyboard.press("Control+s")
            self.page.wait_for_timeout(1000)
            cells = code_cells(self.path)
            if done(cells):
                return cells
        said = [output for cell in code_cells(self.path) for output in cell.outputs][-1:]
        raise AssertionError(f"{self.path.name} did not come to an end; the last output: {said}")

    def type_below(self, code_cell: int, line: str) -> None:
        """Add a line to a code cell, which nobody saves."""
        self.page.locator(".jp-CodeCell .cm-content").nth(code_cell).click()
        self.page.keyboard.press("Control+End")
        self.page.keyboard.press("Enter")
        self.page.keyboard.type(line)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """On loopback, with settings and state of its own, and without a word to anybody outside."""
    folder = tmp_path_factory.mktemp("lab")
    originals = {path: path.read_bytes() for path in NOTEBOOKS.rglob("*") if path.is_file()}
    shutil.copytree(NOTEBOOKS, folder / "notebooks")
    with started(folder) as url, playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield Lab(folder / "notebooks", url, browser, originals)
        browser.close()


@contextlib.contextmanager
def started(folder: Path) -> Iterator[str]:
    """The address of a JupyterLab at work on `folder`/notebooks, as soon as it answers."""
    config = folder / "config" / "labconfig"
    config.mkdir(parents=True)
    (config / "page_config.json").write_text(json.dumps({"disabledExtensions": QUIET}), encoding="utf-8")
    places = {f"JUPYTER_{kind}_DIR": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    places |= {f"JUPYTERLAB_{kind}_DIR": str(folder / kind.lower()) for kind in ("SETTINGS", "WORKSPACES")}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "JPY"))}
    inherited["OMP_NUM_THREADS"] = "1"  # on a busy machine, threads that wait for each other take twice as long
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    words += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder / 'notebooks'}"]
    words += ["--LabApp.extension_manager=readonly", "--LabApp.news_url="]
    with (folder / "lab.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *words],
            env={**inherited, **places, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield answering(f"http://127.0.0.1:{port}", server, folder / "lab.log")
    finally:
        server.terminate()
        server.wait(timeout=30)


def answering(url: str, server: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/api", timeout=5):
            return url
        time.sleep(0.2)
    raise AssertionError(f"JupyterLab did not start:\n{log.read_text(errors='replace')[-3000:]}")


def code_cells(path: Path) -> list[Any]:
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def errors(cells: Sequence[Any]) -> list[tuple[str, str]]:
    return [(o.ename, o.evalue) for cell in cells for o in cell.outputs if o.output_type == "error"]


def shown(cells: Sequence[Any], kind: str) -> list[str]:
    """What the outputs hold of one media type, those of a cell one after the other."""
    return ["".join(o.data[kind]) for cell in cells for o in cell.outputs if kind in o.get("data", {})]


def text_of(page: str) -> str:
    """What HTML says, in one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def words_in(drawing: str) -> set[str]:
    """The texts of an SVG."""
    return {"".join(element.itertext()) for element in ET.fromstring(drawing).iter(f"{SVG}text")}


def test_the_flights_notebook_runs_from_top_to_bottom(lab: Lab) -> None:
    """Every step says what it did, every test cell that all passed, and `%pipeline` draws the steps."""
    with lab.opened("flight_delays.ipynb") as notebook:
        cells = notebook.run_all()
    assert errors(cells) == []
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))

    magics = {" ".join(cell.source.splitlines()[0].split()[:2]): cell for cell in cells}
    steps = ["load", "features", "split", "train", "evaluate"]
    summaries = [text_of(page) for step in steps for page in shown([magics[f"%%step {step}"]], "text/html")]
    assert [summary.split(" · ")[0] for summary in summaries] == [f"step {step}" for step in steps]
    assert "wrote model Pipeline" in summaries[3]
    assert re.search(r" · mae 20\.\d+ · r2 0\.1\d* · skill 0\.0\d+$", summaries[4])
    reports = [text_of(page) for step in steps for page in shown([magics[f"%%test {step}"]], "text/html")]
    assert [report.split("✓")[0].strip() for report in reports] == [f"{n} passed" for n in (3, 3, 3, 4, 3)]

    drawing, *more = shown([magics["%pipeline"]], "image/svg+xml")
    assert (set(steps) <= words_in(drawing), more) == (True, [])
    (note,) = shown([magics["%pipeline"]], "text/html")
    assert text_of(note).startswith("flight_delays.ipynb as saved at ")


def test_the_mortgage_notebook_runs_as_it_is(lab: Lab) -> None:
    """Its tags mean nothing to a kernel that has not loaded nb2prod."""
    with lab.opened("mortgage.ipynb") as notebook:
        cells = notebook.run_all()
    assert errors(cells) == []
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not any("nb2prod" in str(cell.outputs) for cell in cells)
    assert [cell.metadata.get("tags", []) for cell in cells] == [
        cell.metadata.get("tags", []) for cell in code_cells(NOTEBOOKS / "mortgage.ipynb")
    ]


def test_the_mortgage_notebook_is_drawn_with_the_steps_that_its_tags_make(lab: Lab) -> None:
    """The file says what the kernel is never told. As wide as a laptop's page has room for.

    How many trees its forest has makes no difference to the drawing.
    """
    document = nbformat.read(NOTEBOOKS / "mortgage.ipynb", as_version=4)
    (cell,) = (cell for cell in document.cells if "n_trees: int = 200" in cell.source)
    cell.source = cell.source.replace("n_trees: int = 200", "n_trees: int = 2")
    first, last = (nbformat.v4.new_code_cell(source) for source in ("%load_ext nb2prod", "%pipeline"))
    document.cells = [first, *document.cells, last]
    nbformat.write(document, lab.folder / "mortgage_drawn.ipynb")
    with lab.opened("mortgage_drawn.ipynb") as notebook:
        cells = notebook.run_all()
        notebook.page.locator(".jp-RenderedSVG img").scroll_into_view_if_needed()
        room = "node => [node.scrollWidth <= node.clientWidth, node.clientWidth > 600]"
        assert notebook.page.locator(".jp-RenderedSVG").evaluate(room) == [True, True]
    assert errors(cells) == []
    (drawing,) = shown(cells[-1:], "image/svg+xml")
    assert {"load", "split", "train", "evaluate"} <= words_in(drawing)


def test_a_change_that_nobody_saved_is_not_checked_as_if_it_were(lab: Lab) -> None:
    """`%pipeline check` refuses while the file is older than what ran, and answers after Ctrl+S."""
    rows = [("", "%load_ext nb2prod"), ("", "%%step a\nx = 1"), ("", "%pipeline check")]
    write_notebook(lab.folder / "edited.ipynb", rows)
    with lab.opened("edited.ipynb") as notebook:
        before = notebook.run_all()
        notebook.type_below(1, "y = x")
        notebook.page.keyboard.press("Shift+Enter")
        notebook.page.keyboard.press("Shift+Enter")
        refusal = notebook.page.locator("[data-mime-type='application/vnd.jupyter.stderr']")
        refusal.get_by_text("cell 1, In[4] differs from the saved file").wait_for()
        unsaved = code_cells(notebook.path)[1].source
        saved = notebook.saved_when(lambda cells: "y = x" in cells[1].source)
        notebook.page.locator(".jp-CodeCell .cm-content").nth(2).click()
        notebook.page.keyboard.press("Shift+Enter")
        after = notebook.saved_when(lambda cells: cells[2].execution_count == 6)
    assert unsaved == "%%step a\nx = 1"
    assert [name for name, _ in errors(saved)] == ["UsageError"]
    assert errors([*before, *after]) == []
    answers = [text_of(shown([cells[2]], "text/html")[0]) for cells in (before, after)]
    # the second note: cells were run again, and out of order
    assert [answer.split(" where ")[0] for answer in answers] == ["1 warning, 1 note", "1 warning, 2 notes"]


def test_the_samples_of_the_project_are_as_they_were(lab: Lab) -> None:
    """JupyterLab worked on copies, and ran the code that the originals have."""
    assert {path: path.read_bytes() for path in lab.originals} == lab.originals
    for name in ("flight_delays.ipynb", "mortgage.ipynb"):
        sources = [[cell.source for cell in code_cells(folder / name)] for folder in (NOTEBOOKS, lab.folder)]
        assert sources[0] == sources[1]
