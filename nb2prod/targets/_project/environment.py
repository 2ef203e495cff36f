"""What the project needs installed: the distributions behind its imports, with ranges, and all of them locked."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# what a library loads only when it is asked for something, by the words that ask
ON_DEMAND = {
    "read_parquet": "pyarrow", "to_parquet": "pyarrow", "read_feather": "pyarrow", "to_feather": "pyarrow",
    "read_excel": "openpyxl", "to_excel": "openpyxl", "read_html": "lxml", "read_hdf": "tables", "to_hdf": "tables",
    "to_markdown": "tabulate", "as_frame": "pandas", "style": "jinja2",
}  # fmt: skip
TOOLS = ("mypy", "pytest", "ruff")


@dataclass(frozen=True, slots=True)
class Need:
    """A distribution; `version` is empty when it is not installed here. `why` is said where it is not plain."""

    name: str
    version: str
    why: str = ""

    @property
    def requirement(self) -> str:
        if self.name == "setuptools":
            return "setuptools<81"
        numbers = re.match(r"(\d+)\.(\d+)", self.version)
        if numbers is None:
            return self.name
        # libraries of this field change between minor versions before 1.0, and seldom within a year after
        following = f"{int(numbers[1]) + 1}" if numbers[1] != "0" else f"0.{int(numbers[2]) + 1}"
        return f"{self.name}>={numbers[1]}.{numbers[2]},<{following}"


def needs(sources: Iterable[str]) -> tuple[list[Need], list[str]]:
    """(what the sources import, top-level packages that no installed distribution offers)."""
    packages = _packages()
    found: dict[str, Need] = {}
    unknown: list[str] = []
    trees = [ast.parse(source) for source in sources]
    for name in sorted({name for tree in trees for name in _imported(tree)} - set(sys.stdlib_module_names)):
        if name not in packages:
            unknown.append(name)
            continue
        need = _installed(packages[name][0])
        found.setdefault(need.name, need)
        if _needs_setuptools(packages[name][0]):
            found["setuptools"] = _installed("setuptools", f"{need.name} imports pkg_resources")
    for word in sorted({word for tree in trees for word in _words(tree)} & ON_DEMAND.keys()):
        if ON_DEMAND[word] not in found and _is_installed(ON_DEMAND[word]):
            found[ON_DEMAND[word]] = _installed(ON_DEMAND[word], f"for {word}")
    return [found[name] for name in sorted(found)], unknown


def modules_of(sources: Iterable[str]) -> set[str]:
    """The names of all modules that the sources' requirements bring along: nothing else can be called so."""
    wanted, _ = needs(sources)
    names = {line.partition("==")[0] for line in lock([*wanted, *tools(), _installed("joblib")])}
    return {module for module, offered in _packages().items() if names & {canonicalize_name(name) for name in offered}}


@cache
def _packages() -> Mapping[str, list[str]]:
    """To look through all that is installed takes as long as the rest of an export."""
    return metadata.packages_distributions()


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _words(tree: ast.Module) -> Iterator[str]:
    modules = {
        (alias.asname or alias.name) for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            # `df.style` draws with jinja2, `plt.style` does not
            of_module = isinstance(node.value, ast.Name) and node.value.id in modules
            yield "" if of_module and node.attr == "style" else node.attr
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg


def _installed(name: str, why: str = "") -> Need:
    try:
        there = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return Need(canonicalize_name(name), "", why)
    return Need(canonicalize_name(there.metadata["Name"]), there.version, why)


def _is_installed(name: str) -> bool:
    return bool(_installed(name).version)


def _needs_setuptools(name: str) -> bool:
    """Whether a small distribution imports `pkg_resources` and does not say that it needs it."""
    there = metadata.distribution(name)
    requires = {canonicalize_name(Requirement(text).name) for text in there.requires or ()}
    sources = [path for path in there.files or () if str(path).endswith(".py")]
    if "setuptools" in requires or len(sources) > 50:
        return False
    texts = (path.read_text(encoding="utf-8") for path in sources if Path(str(path.locate())).exists())
    return any(re.search(r"^\s*(?:import|from)\s+pkg_resources\b", text, re.MULTILINE) for text in texts)


def lock(wanted: Iterable[Need]) -> list[str]:
    """Every distribution that the needs bring along, as installed here: `name==version` lines."""
    found: dict[str, str] = {}
    waiting = [need.name for need in wanted]
    while waiting:
        name = canonicalize_name(waiting.pop())
        need = _installed(name)
        if name in found or not need.version:
            continue
        found[name] = need.version
        for text in metadata.distribution(name).requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    # a version with a local part ("+cpu") is found on no index
    return [f"{name}=={version.partition('+')[0]}" for name, version in sorted(found.items())]


def tools() -> list[Need]:
    return [_installed(name) for name in TOOLS]
