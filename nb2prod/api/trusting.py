"""Looking into a package, and judging it, without loading any of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nb2prod.core.errors import UsageError

if TYPE_CHECKING:
    from nb2prod.core.package_contents import PackageContents
    from nb2prod.core.policy import Breach, Policy

SCHEMA = "nb2prod/inspect-package/1"


@dataclasses.dataclass(frozen=True, slots=True)
class Inspected:
    """`against` is what stands against the package under this policy; `allowed` whether it may be loaded."""

    contents: PackageContents
    policy: Policy
    against: tuple[Breach, ...]

    @property
    def allowed(self) -> bool:
        return not self.against and not (self.contents.problems and self.contents.is_package)


def inspect_package(source: Path | str, policy: Path | str | None = None) -> Inspected:
    """What is in a package, a folder or an archive of one, and whether it may be loaded. Nothing of it is loaded.

    `policy` is a file, or `default`; None takes the one beside the command, see `docs/trust.md`. Raises NotProved for
    an archive that cannot be unpacked safely.
    """
    from nb2prod.stages import admission

    return Inspected(*admission.inspected(Path(source), admission.policy_of(policy)))


def package_report(inspected: Inspected, *, format: str = "text", width: int = 100, color: bool = False) -> str:
    """What `inspect_package` found, as `text` for a terminal or as `json`."""
    if format == "json":
        from nb2prod.stages import documents

        return documents.as_text(_document(inspected))
    if format == "text":
        from nb2prod.drawing import contents

        return contents.as_text(inspected.contents, inspected.policy, inspected.against, width=width, color=color)
    raise UsageError(f"of a package there is no format {format!r}", fix="text or json")


@contextmanager
def package_folder(source: Path | str, policy: Path | str | None = None) -> Iterator[Path]:
    """The folder of a package: itself, or an archive's content, unpacked for the moment."""
    from nb2prod.stages import admission

    with admission.unpacked(Path(source), admission.policy_of(policy)) as folder:
        yield folder


def policy_text(policy: Path | str) -> str:
    """A policy as TOML, every rule with what it means: that of a file, or the `default` one."""
    from nb2prod.core.policy import DEFAULT, as_toml
    from nb2prod.stages import admission

    return as_toml(admission.policy_of(policy) or DEFAULT)


def _document(inspected: Inspected) -> dict[str, Any]:
    found = dataclasses.asdict(inspected.contents)
    return {
        "schema": SCHEMA,
        "package": found.pop("place"),
        **found,
        "policy": inspected.policy.place or "default",
        "allowed": inspected.allowed,
        "against": [dataclasses.asdict(breach) for breach in inspected.against],
    }
