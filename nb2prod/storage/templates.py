"""The templates: real files, found beside the package in a wheel and beside its folder in a checkout, and filled in.

A file's name says how values are written into it: in `.md.j2` they are text, so that nothing in them becomes Markdown
or HTML; in `.html.j2` likewise for HTML; in any other template they stand as they are. A value that is missing is an
error, never an empty place.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nb2prod.core.errors import StoreError

# an underscore within a word is no mark
_MARKS = re.compile(r"([\\`*{}\[\]#|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|^[+-](?=\s))")


def folder(name: str = "") -> Path:
    """The folder of one kind of template (`package`), or of all. Raises StoreError when it is not there."""
    home = Path(__file__).parents[1]
    found = home / "templates"
    if not found.is_dir():
        found = home.parent / "templates"
    if not (found / name).is_dir():
        raise StoreError("the templates are missing", where=str(found / name), fix="install nb2prod again")
    return found / name


def render(template: str, values: Mapping[str, Any]) -> str:
    """Fill in `package/model_card.md.j2`; lines end in LF, and the text in one of them."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder()),
        undefined=jinja2.StrictUndefined,
        autoescape=template.endswith(".html.j2"),
        finalize=_as_text if template.endswith(".md.j2") else None,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    environment.filters |= {"code": code, "link": link, "prose": prose, "shell": shell}
    environment.filters |= {"markdown_html": markdown_html, "shell_text": shell_text}
    text = environment.get_template(template).render(values)
    return text.rstrip("\n") + "\n"


def markdown(value: Any) -> str:
    """Any value as text that Markdown shows as it is, on one line."""
    text = " ".join(str(value).split())
    return _MARKS.sub(r"\\\1", _without_html(text))


def prose(value: Any) -> Any:
    """A paragraph that is Markdown already: its emphasis and links stay, HTML in it becomes text."""
    from markupsafe import Markup

    return Markup(_without_html(str(value)))


def code(value: Any) -> Any:
    """Any value in a code span, fenced with more backticks than the value has in a row; not for tables."""
    from markupsafe import Markup

    text = " ".join(str(value).split()) or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    room = " " if text.startswith("`") or text.endswith("`") else ""
    return Markup(f"{fence}{room}{text}{room}{fence}")


def link(path: Any) -> Any:
    """A relative path as the target of a link."""
    from markupsafe import Markup

    return Markup(quote(str(path)))


def shell(word: Any) -> Any:
    """One word of a shell command, for a fenced block: no line of it can end the block."""
    from markupsafe import Markup

    return Markup(shlex.quote(" ".join(str(word).split())))


def shell_text(word: Any) -> str:
    """One word of a shell command, for a page of HTML: as text, which is escaped there."""
    return shlex.quote(" ".join(str(word).split()))


def markdown_html(value: Any) -> Any:
    """A paragraph of Markdown as HTML: HTML in it becomes text, and nothing is fetched from elsewhere."""
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    return Markup(MarkdownIt("commonmark", {"html": False}).disable("image").render(str(value)))


def _without_html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _as_text(value: Any) -> Any:
    return value if hasattr(value, "__html__") or _is_undefined(value) else markdown(value)


def _is_undefined(value: Any) -> bool:
    import jinja2

    return isinstance(value, jinja2.Undefined)
