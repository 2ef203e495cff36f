"""The files that say what to install: they may name libraries with versions, and nothing else.

An installer takes far more than that from them: other indexes, addresses to fetch code from, folders to build, other
files to read. MLflow reads `requirements.txt` whenever it loads a model, and follows what it names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REQUIREMENTS = ("requirements.txt", "requirements.lock", "onnx/requirements.lock")
_HASH = re.compile(r"\s*--hash=sha256:[0-9a-f]{64}")
_PIN = re.compile(r"[\w.-]+==[\w.+!-]+")
_CHANNELS = ("conda-forge", "defaults", "nodefaults")
_CONDA = re.compile(r"(python|pip|setuptools|wheel)(<=|==|=|>=)[\w.]+|pip|python")


def problems(folder: Path, names: frozenset[str]) -> Iterator[str]:
    """What is in these files that names no library of an index."""
    for name in REQUIREMENTS:
        if name in names:
            yield from _of_requirements(folder / name, name)
    for name, read in (("conda.yaml", _of_conda), ("python_env.yaml", _of_python_env)):
        if name in names:
            yield from read(_yaml(folder / name), name)


def libraries(folder: Path) -> dict[str, str]:
    """The pinned libraries and their versions."""
    pins = re.findall(r"^([\w.-]+)==([\w.+!-]+)", _text(folder / "requirements.txt"), re.MULTILINE)
    return {name.lower().replace("_", "-"): version for name, version in pins}


def _of_requirements(path: Path, name: str) -> Iterator[str]:
    for number, line in enumerate(_lines(path), start=1):
        reason = _wrong(line)
        if reason:
            yield f"line {number} of {name} {reason}"


def _lines(path: Path) -> list[str]:
    """Logical lines: a backslash joins a line with the next one."""
    return _text(path).replace("\\\n", " ").splitlines()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _wrong(line: str) -> str:
    """What a line is instead of a library with a version, empty when it is one."""
    text = _HASH.sub("", line.partition(" #")[0] if not line.startswith("#") else "").strip()
    if not text:
        return ""
    if _PIN.fullmatch(text):
        return ""
    if text.startswith("-"):
        return "is an option of the installer"
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        found = Requirement(text)
    except InvalidRequirement:
        return "is no library with a version"
    return "is an address to install from" if found.url else ""


def _yaml(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(_text(path))
    except (yaml.YAMLError, RecursionError):
        return None


def _of_conda(content: Any, name: str) -> Iterator[str]:
    if not isinstance(content, dict) or content.keys() - {"name", "channels", "dependencies"}:
        yield f"{name} is no plain environment of conda"
        return
    if any(channel not in _CHANNELS for channel in content.get("channels") or ()):
        yield f"{name} names another channel than {_CHANNELS[0]}"
    for entry in content.get("dependencies") or ():
        inner = entry.get("pip") if isinstance(entry, dict) and entry.keys() == {"pip"} else None
        if isinstance(inner, list):
            yield from _of_list(inner, name)
        elif not isinstance(entry, str) or not _CONDA.fullmatch(entry):
            yield f"{name} asks for more than Python and libraries"


def _of_python_env(content: Any, name: str) -> Iterator[str]:
    if not isinstance(content, dict) or content.keys() - {"python", "build_dependencies", "dependencies"}:
        yield f"{name} is no plain environment"
        return
    asked = content.get("dependencies") or []
    yield from _of_list([entry for entry in asked if entry != "-r requirements.txt"], name)
    yield from _of_list(content.get("build_dependencies") or [], name)


def _of_list(entries: Any, name: str) -> Iterator[str]:
    for entry in entries if isinstance(entries, list) else [None]:
        reason = _wrong(entry) if isinstance(entry, str) and "\n" not in entry else "is no text of one line"
        if reason:
            yield f"an entry of {name} {reason}"
