"""The documents say what is so: links lead somewhere, commands and words exist, examples compile."""

from __future__ import annotations

import ast
import re
import shlex
import textwrap
from pathlib import Path
from typing import Any

import pytest

from nb2prod import api, plugins
from nb2prod.cli import main
from nb2prod.core.equality import Boundary, Difference, Equality
from nb2prod.core.result import Failure, Result
from nb2prod.core.scored import Scored
from nb2prod.kernel.ambient import STATES
from nb2prod.kernel.carry_limits import OBSTACLES
from nb2prod.language import parameter_types, tags
from nb2prod.stages import documents

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_to_a_file_leads_there(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def shell_lines(page: Path) -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return [shlex.split(line, comments=True) for block in blocks for line in block.splitlines() if line.strip()]


def test_every_command_in_the_documents_is_one() -> None:
    """Words, options and files: `nb2prod run NB -p NAME VALUE` parses as written."""
    seen = 0
    for page in PAGES:
        for words in shell_lines(page):
            if words[:1] == ["nb2prod"]:
                command = main.commands[words[1]]
                command.make_context(words[1], words[2:])
                seen += 1
            if words[:1] == ["make"]:
                assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
                seen += 1
    assert seen >= 7


def test_every_example_in_python_compiles() -> None:
    compiled = 0
    for page in PAGES:
        for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            if "%%" in block:  # a notebook's cells side by side
                continue
            source = textwrap.dedent(block)
            ast.parse(source if not source.rstrip().endswith(":") else source + "    ...")
            compiled += 1
    assert compiled >= 4


def test_the_page_of_tags_knows_every_tag_and_type() -> None:
    page = (ROOT / "docs" / "tags.md").read_text(encoding="utf-8")
    words = (*tags.BARE, *tags.NAMED, *tags.OPTIONS, *tags.MAGICS)
    assert [word for word in words if f"`{word}" not in page and f"%%{word}" not in page] == []
    kinds = set(parameter_types.SIMPLE.values()) - {"none", "any", "path"}
    assert [kind for kind in kinds if kind not in page] == []


def test_the_changelog_counts_the_checks() -> None:
    said = re.search(r"`check` \((\d+) checks\)", (ROOT / "docs" / "changelog.md").read_text(encoding="utf-8"))
    assert said
    assert int(said[1]) == len(plugins.names("checks"))


def test_the_page_of_checks_is_made_from_their_docstrings() -> None:
    """Below its opening it is what `nb2prod check --explain all` prints."""
    page = (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")
    assert page.partition("\n## ")[2] == api.explain().removeprefix("## ") + "\n"


def test_the_page_of_isolated_steps_knows_what_is_carried_and_what_stays() -> None:
    page = (ROOT / "docs" / "isolation.md").read_text(encoding="utf-8")
    assert [state.what for state in STATES if state.what not in page] == []
    assert [what for what, _ in OBSTACLES if what not in page] == []
    checks = [path.stem for path in (ROOT / "nb2prod" / "checks").glob("*.py") if "isolated=True" in path.read_text()]
    assert [name for name in checks if f"`{name.replace('_', '-')}`" not in page] == []


DOCUMENTS = [
    documents.inspected(api.load_pipeline(ROOT / "notebooks" / "mortgage.ipynb")),
    documents.checked([]),
    documents.ran(Result("", "failed", "", "", "", "", 0.0, failure=Failure("cell", ""))),
    documents.scored(Scored("", "", "", "model", (), "", 0, 0)),
    documents.verified_notebook(Equality("", "equal", boundaries=(Boundary("a", "x", "value", Difference("equal")),))),
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=[document["schema"] for document in DOCUMENTS])
def test_the_page_of_json_names_every_key(document: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    keys = set(document) - {"schema"}
    (row, *_) = (line for line in page.splitlines() if document["schema"] in line and keys <= words(line))
    inner = [value for value in document.values() if isinstance(value, list | dict)]
    lists = [item for value in inner for item in (value if isinstance(value, list) else [value])]
    assert {key for item in lists if isinstance(item, dict) for key in item} - words(row) == set()


def words(line: str) -> set[str]:
    return set(re.findall(r"\w+", line))


def test_every_decision_is_on_the_list() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = set(re.findall(r"\]\((\d{4}-[^)]+)\)", (folder / "README.md").read_text(encoding="utf-8")))
    assert listed == {path.name for path in folder.glob("[0-9]*.md")}


def test_nothing_names_a_machine() -> None:
    """The project speaks of itself alone."""
    texts = [*PAGES, *(ROOT / "nb2prod").rglob("*.py"), *(ROOT / "tests").rglob("*.py"), ROOT / "Makefile"]
    home = re.compile("/(" + "work|root|farm" + ")/")
    assert [str(path) for path in texts if home.search(path.read_text(encoding="utf-8"))] == []
