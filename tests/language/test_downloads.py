"""Downloads written anew: run in a real shell, from a server that answers well and one that breaks off."""

from __future__ import annotations

import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nb2prod.language.downloads import safe

BODY = b"a,b\n" + b"1,2\n" * 5000
needs_programs = pytest.mark.skipif(
    not (shutil.which("wget") and shutil.which("curl")), reason="wget and curl are not installed"
)


class Server(http.server.BaseHTTPRequestHandler):
    """`/…` is whole; `/broken/…` says how long it is, sends half, and hangs up; `/gone/…` is not there."""

    def do_GET(self) -> None:
        gone = self.path.startswith("/gone/")
        self.send_response(404 if gone else 200)
        self.send_header("Content-Length", str(0 if gone else len(BODY)))
        self.end_headers()
        if not gone:
            self.wfile.write(BODY[: len(BODY) // 2] if self.path.startswith("/broken/") else BODY)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def shell(line: str, folder: Path) -> int:
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return subprocess.run(["/bin/sh", "-c", line], cwd=folder, env=environment, capture_output=True).returncode


# (line, the file that it makes)
LINES = [
    ("wget -q {a}/x.csv", "x.csv"),
    ("wget {a}/x.csv -O data.csv", "data.csv"),
    ("wget -qO data.csv '{a}/x.csv?raw=true&n=1'", "data.csv"),
    ("wget --quiet --tries=1 -P raw/2024 {a}/x.csv", "raw/2024/x.csv"),
    ("wget -q -T 5 -t 1 --output-document='my data.csv' \"{a}/x.csv\"", "my data.csv"),
    ("curl -O {a}/x.csv", "x.csv"),
    ("curl -sSLo data.csv {a}/x.csv?raw=1", "data.csv"),
    ("curl -LO --retry 0 {a}/x.csv", "x.csv"),
    ('curl -fsSL {a}/x.csv -o "it\'s.csv"', "it's.csv"),
    ("curl --silent --location --output x.csv --max-time 9 {a}/x.csv", "x.csv"),
]


@needs_programs
@pytest.mark.parametrize(("line", "file"), LINES, ids=[row[0] for row in LINES])
def test_a_download_gives_what_the_line_as_written_gives(line: str, file: str, address: str, tmp_path: Path) -> None:
    """The same file, and nothing else, and the same again when it is there already."""
    anew = safe(line.format(a=address))
    assert anew is not None
    for folder, text in (("written", line.format(a=address)), ("anew", anew)):
        (tmp_path / folder).mkdir()
        assert shell(text, tmp_path / folder) == 0
        (tmp_path / folder / file).write_text("old")
        assert shell(text, tmp_path / folder) == 0
    trees = [
        {
            str(path.relative_to(tmp_path / folder)): path.read_bytes()
            for path in (tmp_path / folder).rglob("*")
            if path.is_file()
        }
        for folder in ("written", "anew")
    ]
    assert trees[0] == trees[1]
    assert BODY in trees[1].values()


@needs_programs
@pytest.mark.parametrize(("line", "file"), LINES, ids=[row[0] for row in LINES])
def test_a_download_that_breaks_off_leaves_no_file_and_keeps_the_old_one(
    line: str, file: str, address: str, tmp_path: Path
) -> None:
    broken = line.format(a=f"{address}/broken").replace("wget ", "wget -t 1 ", 1)
    anew = safe(broken)
    assert anew is not None
    assert shell(anew, tmp_path) != 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    if " -q " in broken and "-O" not in broken and broken.startswith("wget"):
        return  # wget takes another name for it, as it always does
    if broken.startswith("wget") and "-O" not in broken and "--output" not in broken:
        return
    (tmp_path / file).write_text("old")
    assert shell(anew, tmp_path) != 0
    assert [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] == ["old"]


@needs_programs
def test_the_line_as_written_leaves_half_a_file(address: str, tmp_path: Path) -> None:
    """What the rewriting is for."""
    assert shell(f"curl -s -o x.csv {address}/broken/x.csv", tmp_path) != 0
    assert (tmp_path / "x.csv").read_bytes() == BODY[: len(BODY) // 2]


@needs_programs
def test_an_address_that_is_gone_leaves_no_empty_file(address: str, tmp_path: Path) -> None:
    anew = safe(f"wget -q -O x.csv {address}/gone/x.csv")
    assert anew is not None
    assert shell(anew, tmp_path) == 8
    assert list(tmp_path.iterdir()) == []


@needs_programs
def test_a_link_of_that_name_is_written_through_as_the_program_does(address: str, tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "x.csv").symlink_to("real.csv")
    anew = safe(f"curl -s -o x.csv {address}/x.csv")
    assert anew is not None
    assert shell(anew, tmp_path) == 0
    assert (tmp_path / "x.csv").is_symlink()
    assert (tmp_path / "real.csv").read_bytes() == BODY


UNCERTAIN = [
    ("no download", "ls -l"),
    ("nothing", ""),
    ("to the output", "curl https://a.example.org/x.csv"),
    ("to the output", "wget -O - https://a.example.org/x.csv"),
    ("to a device", "wget -O /dev/null https://a.example.org/x.csv"),
    ("into a pipe", "curl -s https://a.example.org/x.csv | head"),
    ("into a file of the shell's", "curl -s https://a.example.org/x.csv > x.csv"),
    ("and then more", "wget https://a.example.org/x.zip && unzip x.zip"),
    ("and then more", "wget https://a.example.org/x.zip; unzip x.zip"),
    ("in the background", "wget https://a.example.org/x?a=1&b=2"),
    ("two addresses", "wget https://a.example.org/x https://a.example.org/y"),
    ("two files", "curl -O https://a.example.org/x -O https://a.example.org/y"),
    ("a list of addresses", "wget -i urls.txt"),
    ("a whole site", "wget -r https://a.example.org/x"),
    ("only when it is newer", "wget -N https://a.example.org/x.csv"),
    ("only when it is not there", "wget -nc https://a.example.org/x.csv"),
    ("goes on where it stopped", "wget -c https://a.example.org/x.csv"),
    ("goes on where it stopped", "curl -C - -O https://a.example.org/x.csv"),
    ("the server's name for it", "wget --content-disposition https://a.example.org/x"),
    ("no name", "wget https://a.example.org/"),
    ("no name", "wget https://a.example.org"),
    ("a name with a question", "wget https://a.example.org/x?raw=true"),
    ("a name with escapes", "wget https://a.example.org/my%20data.csv"),
    ("a name of the kernel's", "wget {url}"),
    ("a name of the kernel's", "wget -O $path https://a.example.org/x.csv"),
    ("several by a pattern", "curl -O 'https://a.example.org/x[1-3].csv'"),
    ("no protocol", "wget a.example.org/x.csv"),
    ("another protocol", "wget ftp://a.example.org/x.csv"),
    ("a folder for a name", "wget -O data/ https://a.example.org/x.csv"),
    ("a quote that is open", "wget 'https://a.example.org/x.csv"),
    ("both names", "curl -O -o y.csv https://a.example.org/x.csv"),
    ("both places", "wget -P data -O y.csv https://a.example.org/x.csv"),
    ("a home folder", "wget -P ~/data https://a.example.org/x.csv"),
    ("another program", "sudo wget https://a.example.org/x.csv"),
    ("a POST", "curl -d a=1 -o x.csv https://a.example.org/x.csv"),
]


@pytest.mark.parametrize(("reason", "line"), UNCERTAIN, ids=[f"{row[0]}: {row[1]}" for row in UNCERTAIN])
def test_what_is_not_certain_is_not_rewritten(reason: str, line: str) -> None:
    assert safe(line) is None


def test_two_downloads_at_once_have_two_temporary_names() -> None:
    line = "curl -O https://a.example.org/x.csv"
    assert safe(line) != safe(line)
    assert safe(line, token="one") == safe(line, token="one")
