"""Runs that ended without an exception of Python's: time ran out, the kernel died, somebody had to type."""

from __future__ import annotations

import re

from nb2prod.core.result import Explanation
from nb2prod.language.failures.evidence import Evidence

_CRASHES = {
    "SIGSEGV": "it reached for memory that is not its own",
    "SIGBUS": "it reached for memory that is not its own",
    "SIGABRT": "it gave up (a failed check in compiled code)",
    "SIGILL": "it has instructions that this processor does not know",
    "SIGFPE": "it divided by zero",
}
_TYPED = re.compile(r"^\s*(?P<name>[A-Za-z_]\w*)\s*=.*\b(?:input|getpass|raw_input)\s*\(")
SMALLER = "read fewer rows or columns, use smaller types (float32, category), `del` what is no longer needed"


def explained(evidence: Evidence) -> Explanation | None:
    kind = evidence.failure.kind
    if kind == "input":
        return _typing(evidence)
    if kind == "timeout":
        return _time(evidence)
    if kind == "kernel":
        return _death(evidence.failure.message)
    if kind == "start" and "No module named ipykernel" in evidence.failure.message:
        return Explanation(
            "missing-package", "the kernel's environment has no ipykernel", "pip install ipykernel there"
        )
    return None


def _typing(evidence: Evidence) -> Explanation:
    match = _TYPED.match(evidence.line)
    what = "the cell asks a person to type something, and a headless run has nobody who could"
    if match is None:
        return Explanation(
            "input", what, "bind the value in the cell tagged parameters, and give it with -p NAME VALUE"
        )
    name = match["name"]
    fix = f"bind `{name}` in the cell tagged parameters, and give it with -p {name} VALUE"
    return Explanation("input", what, fix)


def _time(evidence: Evidence) -> Explanation:
    if evidence.failure.message.startswith("the run "):
        what = "the whole run took longer than --time-limit allows"
        return Explanation("timeout", what, "give --time-limit a larger number, and go on with --resume")
    name = evidence.failure.step
    step = next((step for step in evidence.pipeline.steps if step.name == name), None)
    if step is not None and step.timeout is not None:
        what = f"step {step.name} may take {step.timeout:g} s (its tag timeout:{step.timeout:g}), and took longer"
        return Explanation("timeout", what, f"raise the number in timeout:{step.timeout:g}, or make the step faster")
    what = "the cell took longer than --timeout allows a cell"
    return Explanation(
        "timeout", what, "give --timeout a larger number, or the step a limit of its own: timeout:SECONDS"
    )


def _death(message: str) -> Explanation | None:
    if "SIGKILL" in message:
        what = "the system ended the kernel; when nobody did so by hand, memory ran out"
        return Explanation("memory", what, f"{SMALLER}, or run where there is more memory")
    crash = next((name for name in _CRASHES if name in message), None)
    if crash is not None:
        what = f"compiled code that the cell calls crashed: {_CRASHES[crash]} ({crash})"
        fix = "install the library that the cell calls again, in a version built for this Python and numpy"
        return Explanation("crash", what, fix)
    code = re.search(r"exited with code (-?\d+)", message)
    if code is not None:
        what = f"the code ended the kernel's own process with code {code[1]}, as `os._exit` does"
        return Explanation("exit", what, "take the call off, or raise an exception in its place")
    return None
