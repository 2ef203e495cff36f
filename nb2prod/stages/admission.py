"""The one way in for a package that is to be loaded: `verify`, `serve` and `score` load what was `admitted`.

A package lies where others may write, and it may change between the moment in which it was checked and the one in which
it is loaded. So it is copied first, into a folder of our own; the copy is checked, looked at and judged, and the copy
is loaded. The policy is the consumer's: it is found beside where the command runs, never within the package.
"""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from nb2prod.core import policy as policies
from nb2prod.core.errors import Nb2prodError, NotProved, StoreError, UsageError
from nb2prod.core.package_contents import PackageContents
from nb2prod.core.policy import DEFAULT, Breach, Policy
from nb2prod.stages import trust
from nb2prod.storage import archives, checksums, scratch

POLICIES = ("policy.toml", ".nb2prod/policy.toml")
DEFAULT_WORD = "default"


@contextmanager
def admitted(source: Path, policy: Policy | None = None) -> Iterator[Path]:
    """Yield a private copy of a package (a folder, `.zip` or `.tar.gz`) that may be loaded, and remove it afterwards.

    The copy has the files that the checksums name and no other, it was checked, looked at and judged as a copy, and
    nobody else can write to it: what is loaded is what was judged. Without `policy` it is the one that is found.
    Raises NotProved, or StoreError when there is nothing that can be read.
    """
    chosen = find_policy(source) if policy is None else policy
    scratch.sweep()
    with scratch.folder() as own:
        copy = Path(own) / (source.name.partition(".")[0] or "package")
        if source.is_dir():
            _copied(source, copy, chosen)
        else:
            archives.unpack(source, copy, most_bytes=chosen.maximum_size, most_files=chosen.maximum_files)
        contents = trust.look(copy, pickles=bool(chosen.pickle_names))
        if not contents.is_package:
            raise NotProved("it has no checksums, so it is no package", where=str(source), fix="name a package")
        try:
            trust.refuse(contents, chosen)
            yield copy
        except Nb2prodError as error:  # of the copy, which nobody has heard of
            error.what, error.where = (text.replace(str(copy), str(source)) for text in (error.what, error.where))
            raise


def inspected(source: Path, policy: Policy | None = None) -> tuple[PackageContents, Policy, tuple[Breach, ...]]:
    """What is in a package (or archive of one) where it lies, the policy, and what stands against it. Loads nothing."""
    chosen = find_policy(source) if policy is None else policy
    if source.is_dir():
        contents = trust.look(source)
        return contents, chosen, trust.judged(contents, chosen)
    with scratch.folder() as own:
        unpacked = Path(own) / "package"
        archives.unpack(source, unpacked, most_bytes=chosen.maximum_size, most_files=chosen.maximum_files)
        contents = trust.look(unpacked)
        return replace(contents, place=str(source)), chosen, trust.judged(contents, chosen)


@contextmanager
def unpacked(source: Path, policy: Policy | None = None) -> Iterator[Path]:
    """A folder as it is, an archive unpacked into one for the moment. Nothing is judged yet."""
    if source.is_dir() or not archives.is_archive(source):
        yield source
        return
    chosen = find_policy(source) if policy is None else policy
    with scratch.folder() as own:
        folder = Path(own) / source.name.partition(".")[0]
        archives.unpack(source, folder, most_bytes=chosen.maximum_size, most_files=chosen.maximum_files)
        yield folder


def judged(folder: Path, policy: Policy | None = None) -> str:
    """The digest of a package that may be loaded, for whoever makes a checked copy by himself and loads that: it must
    have this digest. Empty for a plain MLflow folder. Raises NotProved.
    """
    chosen = find_policy(folder) if policy is None else policy
    contents = trust.look(folder, pickles=bool(chosen.pickle_names))
    trust.refuse(contents, chosen)
    return contents.digest


def _copied(source: Path, target: Path, policy: Policy) -> None:
    """The files that the checksums name. They were not changed when the copy began; the copy is checked again."""
    checksums.verify(source)
    names = (*checksums.named(source), checksums.FILE)
    names += (checksums.SIGNATURE,) if (source / checksums.SIGNATURE).is_file() else ()
    size = sum((source / name).lstat().st_size for name in names)
    if len(names) > policy.maximum_files or size > policy.maximum_size:
        trust.refuse(trust.look(source, pickles=False), policy)
    for name in names:
        place = target / name
        if not place.resolve().is_relative_to(target.resolve()):  # the list changed since it was checked
            raise NotProved("it changes while it is read; nothing of it was loaded", where=str(source))
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(source / name, place, follow_symlinks=False)
        except OSError as error:
            raise StoreError(f"cannot be copied: {error.strerror}", where=str(source / name)) from error


def find_policy(source: Path | None = None, folder: Path | None = None) -> Policy:
    """The policy of the command's folder; the default where there is none. A package cannot bring its own."""
    home = folder or Path.cwd()
    found = [home / name for name in POLICIES if (home / name).is_file()]
    if len(found) > 1:
        raise UsageError(
            f"there are two policies, {POLICIES[0]} and {POLICIES[1]}", where=str(home), fix="keep one of them"
        )
    if not found:
        return DEFAULT
    if source is not None and source.is_dir() and found[0].resolve().is_relative_to(source.resolve()):
        raise NotProved(
            "the policy lies within the package that it is to judge",
            where=str(found[0]),
            fix="call nb2prod from another folder, or name a policy with --policy",
        )
    return read_policy(found[0])


def policy_of(given: Path | str | None) -> Policy | None:
    """The policy that a command was given: a file, `default`, or None where it was given none."""
    if given is None:
        return None
    return DEFAULT if str(given) == DEFAULT_WORD else read_policy(Path(given))


def read_policy(path: Path) -> Policy:
    """Raises StoreError when the file cannot be read, UsageError when it is no policy."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"the policy cannot be read: {error.strerror}", where=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the policy is no TOML: {error}", where=str(path), fix="see docs/trust.md") from error
    return policies.from_mapping(content, str(path))
