"""A pipeline as a Mermaid flowchart, which GitHub, GitLab and JupyterLab draw where it stands in Markdown."""

from __future__ import annotations

from nb2prod.core.pipeline import Pipeline, Step
from nb2prod.drawing.layout import Link, laid_out
from nb2prod.drawing.words import cells_of, counted, printable


def as_mermaid(pipeline: Pipeline) -> str:
    """Boxes are numbered (`s0`, `s1`), so that a step may have any name; every label is quoted and escaped."""
    numbers = {step.name: f"s{position}" for position, step in enumerate(pipeline.steps)}
    lines = ["flowchart TD"]
    lines += [f'    {numbers[step.name]}["{_box(step)}"]' for step in pipeline.steps]
    lines += [_arrow(numbers, link) for link in laid_out(pipeline).links]
    models = [numbers[step.name] for step in pipeline.steps if step.model]
    if models:
        lines += ["    classDef model stroke-width:3px", f"    class {','.join(models)} model"]
    return "\n".join(lines) + "\n"


def _box(step: Step) -> str:
    lines = [f"<b>{_escaped(step.name)}</b>", _escaped(cells_of(step))]
    for title, names in (
        ("parameters", step.parameters),
        ("model", (step.model,) if step.model else ()),
        ("example", (step.example,) if step.example else ()),
        ("metrics", step.metrics),
        ("plots", step.plots),
    ):
        if names:
            lines.append(f"{title}: {_escaped(', '.join(names))}")
    if step.tests:
        lines.append(counted(len(step.tests), "test"))
    return "<br/>".join(lines)


def _arrow(numbers: dict[str, str], link: Link) -> str:
    source, target = numbers[link.source], numbers[link.target]
    if link.after:
        return f'    {source} -. "after" .-> {target}'
    names = _escaped(", ".join(link.names))
    return f'    {source} -->|"{names}"| {target}'


def _escaped(text: str) -> str:
    """Mermaid's own entities for everything that its grammar, its Markdown or HTML could take for syntax."""
    return "".join(
        character if character.isalnum() or character in " .,:_/+-" or ord(character) > 127 else f"#{ord(character)};"
        for character in printable(text)
    )
