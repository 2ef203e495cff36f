"""Keys, tokens and passwords in source text: where they stand, and the text with each of them masked.

Two ways to find them, both chosen for few false ones: the shape that a provider gives its keys (PATTERNS), and a name
that says what it holds (`password = "…"`). What only looks like an example is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MASK = "********"
# (what it is, its shape); group 1, where there is one, is the part that is secret
PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (what, re.compile(shape))
    for what, shape in (
        ("an AWS access key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
        ("a GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})"),
        ("a GitLab token", r"\bglpat-[\w-]{20,}"),
        ("a Slack token", r"\bxox[abprs]-[0-9A-Za-z-]{10,}"),
        ("a Slack webhook", r"hooks\.slack\.com/services/(T\w{6,}/B\w{6,}/\w{16,})"),
        ("an Anthropic key", r"\bsk-ant-[\w-]{20,}"),
        ("an OpenAI key", r"\bsk-(?:proj-|svcacct-)?(?=[\w-]*\d)(?=[\w-]*[A-Z])[A-Za-z0-9_-]{32,}"),
        ("a Hugging Face token", r"\bhf_[A-Za-z0-9]{30,}"),
        ("a Google API key", r"\bAIza[0-9A-Za-z_-]{35}"),
        ("a Stripe key", r"\b[rs]k_live_[0-9A-Za-z]{20,}"),
        ("a PyPI token", r"\bpypi-AgEI[\w-]{40,}"),
        ("an npm token", r"\bnpm_[A-Za-z0-9]{36}\b"),
        ("a web token", r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
        ("a private key", r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----"),
        ("a password in an address", r"\b[a-z][a-z0-9+.-]*://[^\s:/@'\"{}<>$]+:([^\s@/'\"{}<>$*]{3,})@[\w.-]"),
    )
)
NAMES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (what, re.compile(rf"(?:^|_)(?:{shape})$", re.IGNORECASE))
    for what, shape in (
        ("a password", "password|passwd|pwd|passphrase"),
        ("a key", "api_?key|secret_?key|access_?key|account_?key|private_?key|secret_access_key"),
        ("a token", "auth_?token|access_?token|bearer_?token|api_?token|client_?secret|token|secret"),
    )
)
EXAMPLE = re.compile(
    r"your|example|change_?me|placeholder|dummy|insert|replace|my[-_ ]|x{3,}|\*{2,}|\.{3}|^<|>$|^\[|\]$|^\{|^\$|todo"
    r"|redacted|hidden|^password$|^passwd$|^pass$|^secret$|^token$|^none$|^null$|^test$|^string$|^str$|^object$",
    re.IGNORECASE,
)
SAID = re.compile(
    r"""(?P<name>\b\w*(?:passw(?:or)?d|passphrase|pwd|secret|token|key)\w*)["'\]]*\s*(?::\s*\w+\s*)?[=:]\s*"""
    r"""[rbfu]{0,2}(?P<quote>["'])(?P<value>.*?)(?P=quote)""",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Secret:
    """What was found, and where in the text the secret part starts and ends. The value itself is not kept."""

    what: str
    start: int
    end: int


def by_shape(text: str) -> Iterator[Secret]:
    """The secrets in a text that can be told by their own look, in order."""
    found: list[Secret] = []
    for what, pattern in PATTERNS:
        for match in pattern.finditer(text):
            start, end = match.span(1) if pattern.groups else match.span()
            inside = any(other.start < end and start < other.end for other in found)
            if not inside and not EXAMPLE.search(match[0]):
                found.append(Secret(what, start, end))
    yield from sorted(found, key=lambda secret: secret.start)


def by_name(name: str, value: str) -> str:
    """What a value is that is bound to such a name (`a password`); empty when it looks like none."""
    what = next((what for what, pattern in NAMES if pattern.search(name)), "")
    if not what or EXAMPLE.search(value) or re.search(r"\s", value):
        return ""
    if what == "a password":
        return what if len(value) >= 4 else ""
    mixed = re.search(r"\d", value) and re.search(r"[A-Za-z]", value)
    return what if len(value) >= (12 if what == "a key" else 16) and mixed else ""


def masked(text: str) -> str:
    """The text without the secrets in it; rather one word too many is hidden than one too few."""
    for secret in reversed(tuple(by_shape(text))):
        text = text[: secret.start] + MASK + text[secret.end :]
    return SAID.sub(_hidden, text)


def _hidden(match: re.Match[str]) -> str:
    if not any(pattern.search(match["name"]) for _, pattern in NAMES) or not match["value"]:
        return match[0]
    start, end = (position - match.start() for position in match.span("value"))
    return match[0][:start] + MASK + match[0][end:]
