"""The text of a Python module: its docstring, the imports that its code needs, sorted, and its code."""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections.abc import Iterable

from nb2prod.targets._project.meaning import Meaning
from nb2prod.targets._project.names import every_name

WIDTH = 100


def module(docstring: str, imports: Iterable[str], code: str, *, future: bool = False) -> str:
    head = ["from __future__ import annotations"] if future else []
    parts = [f'"""{docstring}"""', *head, imports_text(imports), code.strip("\n")]
    return "\n\n".join(part for part in parts if part) + "\n"


def imports_text(statements: Iterable[str]) -> str:
    """Import statements in groups: the standard library, others, the project's own; from one module in one line."""
    groups: dict[int, set[str]] = {}
    names: dict[tuple[int, str], set[str]] = {}
    blocks: list[str] = []
    for text in dict.fromkeys(statements):
        node = ast.parse(text).body[0]
        if isinstance(node, ast.ImportFrom) and node.module:
            key = (_group(node.module), node.module)
            names.setdefault(key, set()).update(ast.unparse(alias) for alias in node.names)
        elif isinstance(node, ast.Import):
            groups.setdefault(_group(node.names[0].name), set()).add(text)
        else:
            blocks.append(text)
    for (group, origin), there in names.items():
        groups.setdefault(group, set()).add(f"from {origin} import {', '.join(sorted(there))}")
    ordered = ["\n".join(sorted(groups[group], key=_order)) for group in sorted(groups)]
    return "\n\n".join([*ordered, *blocks])


def _group(name: str) -> int:
    return 0 if name.partition(".")[0] in sys.stdlib_module_names else 1


def _order(text: str) -> tuple[bool, str]:
    return text.startswith("from"), text


def imports_for(meaning: Meaning, nodes: Iterable[ast.AST], more: Iterable[str] = ()) -> list[str]:
    """The import statements of the notebook for the names that the code reads."""
    names = every_name(nodes) | set(more)
    found = [text for name in sorted(names) for text in meaning.imports.get(name, ())]
    return list(dict.fromkeys(found))


def docstring_of(prose: str) -> str:
    """A docstring from Markdown; empty when there is none. Its heading is the first line."""
    # what stands above the last heading belongs to what came before
    prose = re.split(r"^(?=#+\s)", prose, flags=re.MULTILINE)[-1]
    lines = [re.sub(r"^#+\s*", "", line).rstrip() for line in prose.strip().split("\n")]
    heading = bool(re.match(r"\s*#+\s", prose))
    if not any(lines):
        return ""
    text = "\n".join(lines).replace("\\", "\\\\").replace('"""', "'''")
    blocks = [block for block in re.split(r"\n\s*\n", text) if block.strip()]
    if heading:
        first, _, rest = blocks[0].partition("\n")
        blocks = [_ended(first), *([rest] if rest else []), *blocks[1:]]
    wrapped = [block if _is_layout(block) else textwrap.fill(" ".join(block.split()), WIDTH) for block in blocks]
    body = "\n\n".join(wrapped)
    return f"{body}\n" if "\n" in body else body.removesuffix('"') + (" " if body.endswith('"') else "")


def _is_layout(block: str) -> bool:
    return bool(re.match(r"\s*([-*+|>]|\d+\.|```|\$\$|    )", block))


def _ended(line: str) -> str:
    return line if line.endswith((".", "?", "!", ":")) else f"{line}."


def camel(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in name.split("_"))
