"""What is in a model package, as somebody sees it who loads nothing of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# how loading would use a name: as the type of an object that it fills, as something that it calls, or as a value
NameUse = Literal["made", "called", "value"]
PermissionKind = Literal["code", "pickle", "native", "network", "files", "processes"]


@dataclass(frozen=True, slots=True)
class FileSeen:
    """One file: `role` says what reads it, `kind` what its bytes are (empty: nothing that is known)."""

    path: str
    size: int
    role: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class NameSeen:
    """A type or function that loading `file` would look up; `origin` is the distribution or module that it is of."""

    name: str
    file: str
    use: NameUse
    origin: str = ""


@dataclass(frozen=True, slots=True)
class CodeSeen:
    """A file of Python. `own` says that nb2prod wrote it: it is, to the byte, one of this nb2prod's own files."""

    path: str
    imports: tuple[str, ...]
    own: bool = False


@dataclass(frozen=True, slots=True)
class Permission:
    """What the package could do when it is loaded or asked, and what in it shows that: `what` at `where`."""

    kind: PermissionKind
    what: str
    where: str


@dataclass(frozen=True, slots=True)
class PackageContents:
    """`problems` are what makes it no package of nb2prod's, whatever a policy says; empty when it may be judged.

    `digest` is empty for a folder without checksums, `whole` whether they hold. `formats` are those of the models,
    `trusted` the types that its skops files may load beyond skops' own.
    """

    place: str
    name: str
    version: str
    digest: str
    whole: bool
    is_package: bool
    is_signed: bool
    size: int
    loader: str
    formats: tuple[str, ...]
    module: str
    trusted: tuple[str, ...]
    files: tuple[FileSeen, ...]
    names: tuple[NameSeen, ...]
    code: tuple[CodeSeen, ...]
    permissions: tuple[Permission, ...]
    licences: tuple[str, ...]
    problems: tuple[str, ...]
