"""What a cell's outputs say: what it printed, why it failed; secrets masked in all of it, floods cut."""

from __future__ import annotations

import dataclasses
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nb2prod.core.events import Event, TestFinished
from nb2prod.core.result import Failure, FailureKind

MASK = "********"
LONGEST_LAST_WORDS = 10_000
SPOKEN = ("text", "data", "metadata", "evalue", "traceback", "payload")


class Refused(Exception):
    """The kernel could not do what it was asked, keep a tagged value say: the message says which and why."""


def stdout_of(cell: Any) -> str:
    return "".join(
        output["text"]
        for output in cell.get("outputs", [])
        if output["output_type"] == "stream" and output["name"] == "stdout"
    )


def failure_of(
    cell: Any, step: str | None, index: int | None, sent: str, shift: int, secrets: Iterable[str]
) -> Failure:
    error = next((o for o in cell.get("outputs", []) if o["output_type"] == "error"), None)
    if error is None:
        said = mask(_said_on_stderr(cell), secrets)
        return Failure("cell", said or "the cell failed without saying how", step, index)
    message = f"{error['ename']}: {error['evalue']}".rstrip(": ")
    trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error["traceback"]))
    kind: FailureKind = "input" if error["ename"] == "StdinNotImplementedError" else "cell"
    if kind == "input":
        message = "the cell waits for input(), and nobody is there to type: make it a parameter"
    lines = re.findall(rf"Cell In\[{cell.execution_count}\], line (\d+)", trace)
    timed = re.findall(r"<timed \w+>:(\d+)", trace)  # in %time and %%time lines count from where the code begins
    inner = int(timed[0]) - (0 if re.match(r"\s*%%", sent) else 1) if timed else 0
    line = shift + int(lines[0]) + inner if lines else None
    return Failure(kind, mask(message, secrets), step, index, line, mask(trace, secrets))


def _said_on_stderr(cell: Any) -> str:
    """IPython says some errors as plain text, with no traceback: `UsageError: Line magic function … not found`."""
    text = "".join(
        output["text"]
        for output in cell.get("outputs", [])
        if output["output_type"] == "stream" and output["name"] == "stderr"
    )
    lines = [line.strip() for line in text[-LONGEST_LAST_WORDS:].splitlines()]
    return next((line for line in reversed(lines) if re.match(r"[A-Z]\w*(?:Error|Exception|Interrupt): ", line)), "")


def written_forms(values: Iterable[Any]) -> tuple[str, ...]:
    """The texts in which secret values show in outputs: as they are, quoted, as JSON and as HTML; the longest first."""
    forms: set[str] = set()
    for value in values:
        texts = {str(value), *(str(item) for item in _leaves(value))}
        for text in texts:
            said = {text, repr(text)[1:-1], text.replace("'", "\\'"), json.dumps(text)[1:-1]}
            said |= {json.dumps(text, ensure_ascii=False)[1:-1]}
            forms |= {shown for one in said for shown in (one, html.escape(one), html.escape(one, quote=False))}
    return tuple(sorted(forms - {""}, key=lambda form: (-len(form), form)))


def _leaves(value: Any) -> Iterator[Any]:
    """The texts inside a list, tuple or dict."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, str):
        yield value


def masked_message(content: Mapping[str, Any], secrets: tuple[str, ...]) -> dict[str, Any]:
    """A kernel message's content with secrets masked where a cell's own words stand.

    The protocol's words (`execution_state: idle`) stay: a secret may be any text.
    """
    return {key: masked(value, secrets) if key in SPOKEN else value for key, value in content.items()}


def masked(content: Any, secrets: tuple[str, ...]) -> Any:
    if not secrets:
        return content
    if isinstance(content, str):
        return mask(content, secrets)
    if isinstance(content, dict):
        return {key: masked(value, secrets) for key, value in content.items()}
    if isinstance(content, list):
        return [masked(value, secrets) for value in content]
    return content


def overwritten(text: str) -> str:
    """What is left to see of lines that go back to their beginning, as progress bars do."""
    if "\r" not in text:
        return text
    lines = text.split("\n")
    return "\n".join(line[line.rstrip("\r").rfind("\r") + 1 :] for line in lines)


def mask(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, MASK) if secret else text
    return text


def event_without_secrets(event: Event, secrets: tuple[str, ...]) -> Event:
    """What a test says of a value (`assert token == …`) may be the secret itself."""
    if not isinstance(event, TestFinished) or not secrets:
        return event
    return dataclasses.replace(event, test=dataclasses.replace(event.test, message=mask(event.test.message, secrets)))
