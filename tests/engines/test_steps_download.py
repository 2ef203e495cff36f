"""Shell lines that download, in isolated steps: a download that breaks off leaves no half file behind."""

from __future__ import annotations

import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from nb2prod import api
from nb2prod.core.result import Result
from nb2prod.engines._pieces import pieces_of
from tests.notebook_maker import Row, write_notebook

BODY = b"a,b\n" + b"1,2\n" * 5000
needs_programs = pytest.mark.skipif(
    not (shutil.which("wget") and shutil.which("curl")), reason="wget and curl are not installed"
)


class Server(http.server.BaseHTTPRequestHandler):
    """`/broken/…` says how long it is, sends half, and hangs up; all else is whole."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY[: len(BODY) // 2] if self.path.startswith("/broken/") else BODY)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def ran(folder: Path, *rows: Row) -> Result:
    notebook = write_notebook(folder / "nb.ipynb", rows)
    return api.run(notebook, engine="steps", allow_shell=True, trackers=(), runs=folder / "runs")


LOOK = (
    "step:look",
    "from pathlib import Path\nprint(sorted((p.name, p.stat().st_size) for p in Path().glob('*.csv*')))",
)


@needs_programs
@pytest.mark.parametrize("line", ["wget -q -t 1 {a}/x.csv", "curl -sO {a}/x.csv"])
def test_a_download_that_breaks_off_leaves_no_file_and_a_whole_one_does(
    line: str, address: str, tmp_path: Path
) -> None:
    for path, files in (("/broken", []), ("", [("x.csv", len(BODY))])):
        folder = tmp_path / f"case{path.strip('/')}"
        folder.mkdir()
        shell = line.format(a=address + path)
        result = ran(folder, ("step:get", f"import os\nif True:\n    !{shell}\nprint(_exit_code == 0)"), LOOK)
        assert [step.printed for step in result.steps] == [f"{path == ''}\n", f"{files}\n"]
        assert sorted(p.name for p in folder.iterdir()) == sorted(["nb.ipynb", "runs", *(name for name, _ in files)])
        assert f"!{shell}" in nbformat.read(result.notebook, 4).cells[0].source, "the executed notebook is the author's"


def written(tmp_path: Path, source: str) -> str:
    path = write_notebook(tmp_path / "nb.ipynb", [("step:a", source)])
    node = nbformat.read(path, 4)
    node.cells[0].metadata["nb2prod"] = {"cell": 0}
    (piece,) = pieces_of(api.load_pipeline(path), node)
    return piece.cells[0].source


@pytest.mark.parametrize(
    "source",
    [
        "text = '''\n!wget https://example.org/x.csv\n'''",
        "files = !curl -O https://example.org/x.csv",
        "name = 'x'\n!wget https://example.org/{name}.csv",
        "!wget https://example.org/x.csv \\\n  -O y.csv",
        "!wget -i list.txt",
        "%%bash\nwget https://example.org/x.csv",
    ],
)
def test_what_is_no_certain_download_runs_as_it_is_written(source: str, tmp_path: Path) -> None:
    assert written(tmp_path, source) == source


def test_all_other_lines_stay_where_they_are(tmp_path: Path) -> None:
    source = "%%step a\n\nx = 1\nfor n in range(2):\n    !wget -q https://example.org/x.csv\ny = 2"
    path = write_notebook(tmp_path / "nb.ipynb", [("", source)])
    node = nbformat.read(path, 4)
    node.cells[0].metadata["nb2prod"] = {"cell": 0}
    (piece,) = pieces_of(api.load_pipeline(path), node)
    lines = piece.cells[0].source.split("\n")
    assert lines[4].startswith("    !if ")
    assert [*lines[2:4], *lines[5:]] == ["x = 1", "for n in range(2):", "y = 2"]
