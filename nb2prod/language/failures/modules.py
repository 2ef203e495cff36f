"""A module that cannot be imported: its package is missing, its file is elsewhere, or another file is in the way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from nb2prod.core.result import Explanation
from nb2prod.language.failures import packages
from nb2prod.language.failures.evidence import Evidence
from nb2prod.language.requirements import declared

# modules of Python 2, and what Python 3 calls them
PYTHON_2: dict[str, str] = {
    "urllib2": "urllib.request",
    "urlparse": "urllib.parse",
    "httplib": "http.client",
    "cPickle": "pickle",
    "StringIO": "io",
    "cStringIO": "io",
    "ConfigParser": "configparser",
    "Queue": "queue",
    "Tkinter": "tkinter",
    "HTMLParser": "html.parser",
    "commands": "subprocess",
    "__builtin__": "builtins",
    "cookielib": "http.cookiejar",
    "SocketServer": "socketserver",
    "sets": "the built-in set",
    "UserDict": "collections",
}
# modules that Python had: (since which version no longer, in their place)
DROPPED: dict[str, tuple[str, str]] = {
    "distutils": ("3.12", "setuptools"),
    "imp": ("3.12", "importlib"),
    "asyncore": ("3.12", "asyncio"),
    "asynchat": ("3.12", "asyncio"),
    "smtpd": ("3.12", "the package aiosmtpd"),
    "cgi": ("3.13", "urllib.parse and email.message"),
    "telnetlib": ("3.13", "the package telnetlib3"),
    "imghdr": ("3.13", "the package filetype"),
    "sndhdr": ("3.13", "the package filetype"),
    "pipes": ("3.13", "subprocess and shlex"),
    "crypt": ("3.13", "the package passlib"),
    "lib2to3": ("3.13", "the package libcst"),
}
_NO_MODULE = re.compile(r"No module named '?(?P<module>[\w.]+)'?")
_OPTIONAL = re.compile(
    r"(?:`Import (?P<a>[\w.]+)` failed|Missing optional dependency '(?P<b>[\w.]+)'|requires the (?P<c>Kaleido) package)"
)
_ATTRIBUTE = re.compile(r"(?:partially initialized )?[Mm]odule '(?P<module>\w+)' has no attribute '")
_FROM = re.compile(r"cannot import name '[^']+' from (?:partially initialized module )?'(?P<module>\w+)'")
_NO_PACKAGE = re.compile(r"; '(?P<module>\w+)' is not a package")


def shadowed(evidence: Evidence) -> Explanation | None:
    """A file of the author's has the name of a library, and Python takes it in the library's place."""
    if evidence.error not in ("AttributeError", "ImportError", "ModuleNotFoundError"):
        return None
    match = next((m for pattern in (_ATTRIBUTE, _FROM, _NO_PACKAGE) if (m := pattern.search(evidence.said))), None)
    if match is None:
        return None
    module = match["module"]
    # the kernel looks for Python's own modules first, so that a file beside the notebook hides none of those
    if not packages.package_of(module) and str(evidence.folder / f"{module}.py") not in evidence.said:
        return None
    file = _own_file(evidence, module)
    if not file:
        return None
    what = f"the file {file} beside the notebook has the name of a library, and Python takes it in the library's place"
    return Explanation("shadowed-module", what, f"rename {file}, and delete its folder __pycache__")


def _own_file(evidence: Evidence, module: str) -> str:
    names = evidence.machine.names(evidence.folder)
    if f"{module}.py" in names:
        return f"{module}.py"
    package = f"{module}/" in names and "__init__.py" in evidence.machine.names(evidence.folder / module)
    return f"{module}/" if package else ""


def missing(evidence: Evidence) -> Explanation | None:
    optional = _OPTIONAL.search(evidence.said)
    if optional is not None and optional[0]:
        return _to_install(evidence, next(filter(None, optional.groups())), needed_by=_library(evidence))
    match = _NO_MODULE.match(evidence.said)
    if match is None or evidence.error != "ModuleNotFoundError":
        return None
    module = _whole(evidence, match["module"])
    for family in (_old, _of_a_service, _installed_without, _elsewhere):
        if (found := family(evidence, module)) is not None:
            return found
    return _to_install(evidence, module)


def _whole(evidence: Evidence, module: str) -> str:
    """What the failed line imports, when Python stopped at the first part of it: `google.cloud` of a longer name."""
    asked = re.match(r"\s*(?:import|from)\s+([\w.]+)", evidence.line)
    return asked[1] if asked and asked[1].startswith(f"{module}.") else module


def _old(evidence: Evidence, module: str) -> Explanation | None:
    top = module.partition(".")[0]
    if top in PYTHON_2:
        what = f"the notebook was written for Python 2: Python 3 has no module {top}"
        return Explanation("python-2", what, f"use {PYTHON_2[top]}")
    if top in DROPPED:
        since, instead = DROPPED[top]
        return Explanation("removed-api", f"Python has no module {top} any more (since {since})", f"use {instead}")
    return None


def _of_a_service(evidence: Evidence, module: str) -> Explanation | None:
    service = packages.hosted(module)
    if not service:
        return None
    what = f"the module {module} is there on {service} only"
    return Explanation("hosted-only", what, "tag the cells that need it skip, and read the files from a path parameter")


def _installed_without(evidence: Evidence, module: str) -> Explanation | None:
    """The package is installed, and has no such part."""
    top, dot, _ = module.partition(".")
    package = packages.package_of(top)
    version = evidence.machine.version(package) if dot and package else ""
    if not version or packages.package_of(module) != package:
        return None
    what = f"{package} {version} has no module {module}: the notebook was written for another version of it"
    return Explanation("removed-api", what, f"see in {package}'s release notes where it went")


def _elsewhere(evidence: Evidence, module: str) -> Explanation | None:
    """A file or folder of that name near the notebook, where Python does not look."""
    top = module.partition(".")[0]
    for place, folder in _places(evidence):
        names = evidence.machine.names(folder)
        if f"{top}.py" in names or (
            f"{top}/" in names and any(n.endswith(".py") for n in _inside(evidence, folder, top))
        ):
            what = f"{top} is in the folder {place}, and Python looks in {evidence.folder} only"
            fix = f'put `import sys; sys.path.append("{place}")` above the import, or install it as a package'
            return Explanation("module-elsewhere", what, fix)
    return None


def _inside(evidence: Evidence, folder: Path, name: str) -> tuple[str, ...]:
    return evidence.machine.names(folder / name)


def _places(evidence: Evidence) -> Iterator[tuple[str, Path]]:
    """Folders around the notebook: those in its own, the one above and those in it, one more above."""
    here = evidence.folder
    yield "..", here.parent
    yield from ((name, here / name) for name in _folders(evidence, here))
    yield from ((f"../{name}", here.parent / name) for name in _folders(evidence, here.parent) if name != here.name)
    yield "../..", here.parent.parent
    yield from ((f"../../{name}", here.parent.parent / name) for name in ("src", "lib"))


def _folders(evidence: Evidence, folder: Path) -> list[str]:
    names = [name[:-1] for name in evidence.machine.names(folder) if name.endswith("/")]
    return [name for name in names if not name.startswith((".", "__"))][:50]


def _to_install(evidence: Evidence, module: str, *, needed_by: str = "") -> Explanation:
    package = "kaleido" if module == "Kaleido" else packages.package_of(module)
    for wanted in declared(evidence.pipeline):
        if package and wanted.manager == "pip" and _same(wanted.project, package):
            what = f"the module {module} comes with {package}, which cell {wanted.cell} installs and is not there"
            return Explanation("missing-package", what, f"{evidence.machine.pip} {_quoted(wanted.requirement)}")
    if package:
        reason = f", which {needed_by} needs for this" if needed_by else ""
        what = f"the module {module} comes with the package {package}{reason}, which is not installed"
        return Explanation("missing-package", what, f"{evidence.machine.pip} {_quoted(package)}")
    what = f"the module {module} is neither installed nor a file near the notebook"
    fix = "put the author's file beside the notebook, or install the package that has it into the kernel's environment"
    return Explanation("missing-package", what, fix)


def _library(evidence: Evidence) -> str:
    return next((name for name in ("pandas", "plotly", "matplotlib", "sklearn") if evidence.through(name)), "")


def _same(one: str, other: str) -> bool:
    return re.sub(r"[-_.]+", "-", one).lower() == re.sub(r"[-_.]+", "-", other).lower()


def _quoted(requirement: str) -> str:
    return f"'{requirement}'" if re.search(r"[^\w.-]", requirement) else requirement
