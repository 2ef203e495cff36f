"""Templates are found and filled in, and what is written into Markdown stays the text that it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.exceptions import UndefinedError

from nb2prod.core.errors import StoreError
from nb2prod.storage import templates


def test_the_templates_are_found() -> None:
    assert (templates.folder("package") / "model_card.md.j2").is_file()
    with pytest.raises(StoreError, match="templates are missing"):
        templates.folder("nothing_like_this")


def test_a_missing_value_is_an_error_and_not_an_empty_place() -> None:
    with pytest.raises(UndefinedError):
        templates.render("package/model_card.md.j2", {"name": "x"})


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("a | b", r"a \| b"),
        ("[here](javascript:x)", r"\[here\](javascript:x)"),
        ("test_size", "test_size"),
        ("_soft_", r"\_soft\_"),
        ("one\n\n# two", r"one \# two"),
        ("`x`", r"\`x\`"),
        (0.25, "0.25"),
    ],
)
def test_text_in_markdown_is_text(value: object, shown: str) -> None:
    assert templates.markdown(value) == shown


@given(st.text())
def test_a_code_span_cannot_be_left(text: str) -> None:
    """The fence is longer than every run of backticks within."""
    span = str(templates.code(text))
    fence = span[: len(span) - len(span.lstrip("`"))]
    assert "\n" not in span
    assert fence not in span[len(fence) : -len(fence)]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_word_of_a_command_is_one_line(text: str) -> None:
    assert "\n" not in str(templates.shell(text))
