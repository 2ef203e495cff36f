"""Findings for people, for GitHub, and as SARIF: the same findings in each, and what each format demands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from nb2prod import api
from nb2prod.core.errors import NotANotebook
from nb2prod.core.finding import Finding
from nb2prod.drawing.words import columns_of
from nb2prod.stages.check import Checked
from nb2prod.stages.reports import github, text
from tests.notebook_maker import write_notebook

TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
POSITIVE = {"type": "integer", "minimum": 1}
# what SARIF 2.1.0 demands of the parts that are used (OASIS, sections 3.13 to 3.58)
SARIF: dict[str, Any] = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "properties": {
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "tool": {
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "required": ["name", "rules"],
                                "properties": {
                                    "rules": {
                                        "items": {
                                            "required": ["id", "shortDescription", "fullDescription", "help"],
                                            "properties": {
                                                "shortDescription": TEXT,
                                                "fullDescription": TEXT,
                                                "help": {"required": ["text"]},
                                            },
                                        },
                                        "uniqueItems": True,
                                    }
                                },
                            }
                        },
                    },
                    "results": {
                        "items": {
                            "required": ["message", "ruleId", "ruleIndex", "level", "locations"],
                            "properties": {
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "message": TEXT,
                                "ruleIndex": {"type": "integer", "minimum": 0},
                                "partialFingerprints": {"additionalProperties": {"type": "string"}},
                                "locations": {
                                    "minItems": 1,
                                    "items": {
                                        "required": ["physicalLocation"],
                                        "properties": {
                                            "physicalLocation": {
                                                "required": ["artifactLocation", "region"],
                                                "properties": {
                                                    "artifactLocation": {
                                                        "properties": {"uri": {"pattern": r"^(?!/)[^ \\]+$"}}
                                                    },
                                                    "region": {
                                                        "required": ["startLine"],
                                                        "properties": {
                                                            "startLine": POSITIVE,
                                                            "startColumn": POSITIVE,
                                                            "endColumn": POSITIVE,
                                                        },
                                                    },
                                                },
                                            }
                                        },
                                    },
                                },
                            },
                        }
                    },
                    "invocations": {"items": {"required": ["executionSuccessful"]}},
                },
            },
        },
    },
}


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Checked, ...]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my notes").mkdir()
    write_notebook(Path("my notes/a.ipynb"), [("", "é = 1"), ("step:a", "y = 2\nx = 'é', nowhere")])
    Path("my notes/b.ipynb").write_text("{")
    return api.check_all(["my notes"])


def test_sarif_is_what_the_standard_demands(checked: tuple[Checked, ...]) -> None:
    document = json.loads(api.report(checked, format="sarif"))
    jsonschema.validate(document, SARIF)
    run = document["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert [rules[result["ruleIndex"]]["id"] for result in run["results"]] == [r["ruleId"] for r in run["results"]]
    assert [rule["id"] for rule in rules] == sorted(rule["id"] for rule in rules)
    (error,) = [result for result in run["results"] if result["level"] == "error"]
    place = error["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "my%20notes/a.ipynb"
    assert place["region"] == {
        "startLine": 2,
        "startColumn": 10,
        "endColumn": 17,
        "snippet": {"text": "x = 'é', nowhere"},
    }
    assert error["message"]["text"].startswith("cell 1, line 2: nothing before this cell binds `nowhere`")
    assert error["properties"] == {"cell": 1, "line": 2, "fix": error["properties"]["fix"], "isolated": False}
    assert run["invocations"][0]["executionSuccessful"] is False


def test_a_fingerprint_stays_when_cells_are_put_in_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    prints = []
    for rows in ([("step:a", "x = nowhere")], [("", "z = 1"), ("step:a", "y = 1\nx = nowhere")]):
        write_notebook(tmp_path / "nb.ipynb", rows)
        results = json.loads(api.report(api.check_all(["nb.ipynb"]), format="sarif"))["runs"][0]["results"]
        prints.append([r["partialFingerprints"] for r in results if r["ruleId"] == "undefined-name"])
    assert prints[0] == prints[1] != []


def test_github_gets_one_escaped_line_a_finding() -> None:
    finding = Finding("no-seed", "warning", "50 % of\nit: a, b", "do\r\nthis", 3, 4, isolated=True)
    (line,) = github.as_annotations([Checked("a,b:c%.ipynb", (finding,))]).split("\n")
    assert line == (
        "::warning file=a%2Cb%3Ac%25.ipynb,title=nb2prod no-seed::"
        "cell 3, line 4: 50 %25 of%0Ait: a, b%0Afix: do%0D%0Athis%0Aisolated steps refuse this"
    )


@pytest.mark.parametrize(("severity", "command"), [("error", "error"), ("warning", "warning"), ("note", "notice")])
def test_github_has_a_command_for_each_severity(severity: Any, command: str) -> None:
    line = github.as_annotations([Checked("a.ipynb", (Finding("x", severity, "m"),))])
    assert line == f"::{command} file=a.ipynb,title=nb2prod x::notebook: m"


def test_a_notebook_that_cannot_be_read_is_in_every_format(checked: tuple[Checked, ...]) -> None:
    for form in ("lines", "page", "json", "sarif", "github"):
        assert "not a notebook: it is not JSON" in api.report(checked, format=form)


def plain(shown: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", shown)


def test_the_page_shows_the_line_and_what_is_meant_in_it(checked: tuple[Checked, ...]) -> None:
    page = text.as_page(checked[:1], width=100, color=False)
    assert "       2 │ x = 'é', nowhere\n         │          ^^^^^^^\n" in page
    assert "1 error" in page.splitlines()[-1]
    assert plain(text.as_page(checked, width=100, color=True)) == text.as_page(checked, width=100, color=False)


def test_the_page_says_what_isolated_steps_refuse(checked: tuple[Checked, ...]) -> None:
    finding = Finding("output-history", "warning", "m", "f", 1, 2, isolated=True)
    page = text.as_page([Checked("a.ipynb", (finding,), checked[0].pipeline)], width=80, color=False)
    assert "    isolated steps refuse this" in page
    assert page.endswith("1 warning in 1 notebook · isolated steps refuse 1")


@pytest.mark.parametrize("width", [20, 40, 79])
def test_the_page_keeps_to_the_width_and_the_carets_to_their_word(width: int, tmp_path: Path) -> None:
    source = "x = [" + "'日本', " * 30 + "nowhere]"
    path = write_notebook(tmp_path / "nb.ipynb", [("step:a", source)])
    (one,) = api.check_all([path])
    lines = text.as_page([one], width=width, color=False).splitlines()
    at = next(n for n, line in enumerate(lines) if "nowhere]" in line and "│" in line)
    assert lines[at + 1].index("^") == columns_of(lines[at].partition("nowhere")[0])
    assert lines[at + 1].count("^") == len("nowhere")


def test_lines_are_one_a_finding_and_one_a_fix() -> None:
    problem = NotANotebook("not a notebook: it is empty")
    checked = [
        Checked("a.ipynb", (Finding("x", "note", "m", "f", 1, 2, isolated=True),)),
        Checked("b.ipynb"),
        Checked("c.ipynb", problem=problem),
    ]
    assert text.as_lines(checked).split("\n") == [
        "a.ipynb: cell 1, line 2: note x: m",
        "    fix: f",
        "    isolated steps refuse this",
        "a.ipynb: 1 finding",
        "b.ipynb: no findings",
        "c.ipynb: it cannot be read: not a notebook: it is empty",
    ]
