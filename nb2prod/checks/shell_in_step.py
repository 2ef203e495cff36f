"""A step calls the shell.

What `!command` or a `%%bash` cell does depends on the machine: on the programs that are installed, on the files that
lie about, on who runs it. The whole notebook in one kernel runs it as Jupyter does. Isolated steps run it only with
`--allow-shell`, because nothing is known of what such a line reads and writes. Where a line of Python does the same
(`pathlib`, `shutil`, `urllib.request`), it says more and runs anywhere; lines that install packages belong in a cell of
their own, or in the project's requirements.
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline
from nb2prod.language.plain import Magic, plain

CODE = "shell-in-step"
SEVERITY: Severity = "note"
SHELLS = frozenset(("!", "%sx", "%system", "%%!", "%%sx", "%%system", "%%bash", "%%sh", "%%script"))
LONGEST = 60


def check(pipeline: Pipeline) -> Iterator[Finding]:
    for index, role in enumerate(pipeline.roles):
        if role is None or role.kind != "step" or not ("!" in role.body or "%" in role.body):
            continue
        for magic in plain(role.body).magics:
            if magic.name in SHELLS:
                message = f"step {role.name} calls the shell: `{_shown(magic)}`"
                fix = "do it in Python where that is possible; isolated steps run it only with --allow-shell"
                yield Finding(CODE, SEVERITY, message, fix, index, magic.line + role.line_offset, isolated=True)


def _shown(magic: Magic) -> str:
    text = f"{magic.name}{'' if magic.name == '!' else ' '}{magic.arguments}".strip().partition("\n")[0]
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
