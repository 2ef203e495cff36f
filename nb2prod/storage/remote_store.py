"""The content store at a URL: `s3://bucket/store`, or any other place that fsspec knows.

The layout is that of the local store: `content/9f/9f86d0…` under its own digest, `records/NAME`. Whoever runs steps or
items on other machines needs nothing in common with them but this. An object appears whole or not at all, as object
stores promise. `claim` is a conditional write (`If-None-Match: *` in S3); a store that takes the condition and does not
keep it would let two be the first, so the first claim of a process tries that out.

Access is what the store's own tools use (environment, profile, role); nothing of it is kept or printed here.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nb2prod.core.errors import MissingExtra, Nb2prodError, StoreError, UsageError
from nb2prod.storage.store import NAME, checked_digest, checked_name, damaged, missing

SECRET = re.compile(r"(?<=://)[^/@]*@")
EXTRAS = {"s3": "s3"}


@dataclass(frozen=True)
class RemoteStore:
    """A store at `url`. It travels to other processes as its URL; the connection is made where it is first needed."""

    url: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^?#]*", self.url) or self.url.endswith("://"):
            raise UsageError("this is no URL of a store", where=self.shown, fix="write it as s3://bucket/folder")

    @property
    def shown(self) -> str:
        """The URL as a person may see it."""
        return SECRET.sub("", self.url)

    def put(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        place = self._content(digest)
        with self._speaking("write"):
            if self._size(place) != len(content):
                self._files.pipe_file(place, content)
        return digest

    def get(self, digest: str) -> bytes:
        place = self._content(digest)
        with self._speaking("read"):
            content = self._read(place)
            if content is None:
                raise missing(digest, self._where(place))
            if hashlib.sha256(content).hexdigest() != digest:
                # so that whoever makes it again can keep it
                self._files.rm_file(place)
                raise damaged(digest, self._where(place))
        return content

    def has(self, digest: str) -> bool:
        with self._speaking("read"):
            return self._size(self._content(digest)) is not None

    def size(self, digest: str) -> int:
        place = self._content(digest)
        with self._speaking("read"):
            size = self._size(place)
        if size is None:
            raise missing(digest, self._where(place))
        return size

    def write(self, name: str, record: bytes) -> None:
        with self._speaking("write"):
            self._files.pipe_file(self._record(name), record)

    def read(self, name: str) -> bytes | None:
        with self._speaking("read"):
            return self._read(self._record(name))

    def claim(self, name: str, record: bytes) -> bool:
        with self._speaking("write"):
            self._keeps_conditions  # noqa: B018 - tried out once, before anybody relies on it
            return self._create(self._record(name), record)

    def names(self, prefix: str) -> Iterator[str]:
        records = f"{self._root}/records/"
        with self._speaking("read"):
            found = self._found(records + prefix.rpartition("/")[0])
        names = (place.partition(records)[2] for place in found)
        yield from sorted(name for name in names if name.startswith(prefix) and NAME.fullmatch(name))

    def remove(self, name: str) -> None:
        with self._speaking("write"):
            self._remove(self._record(name))

    # -- places ------------------------------------------------------------------------------------------------------

    def _content(self, digest: str) -> str:
        checked_digest(digest)
        return f"{self._root}/content/{digest[:2]}/{digest}"

    def _record(self, name: str) -> str:
        return f"{self._root}/records/{checked_name(name)}"

    def _where(self, place: str) -> str:
        return f"{self.shown.partition('://')[0]}://{place.lstrip('/')}"

    # -- what fsspec does --------------------------------------------------------------------------------------------

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system, and where in it the store begins."""
        protocol = self.url.partition("://")[0]
        try:
            import fsspec.core

            # a listing that is remembered would hide what others have written since
            files, root = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        except ImportError as error:
            library = {"s3": "s3fs"}.get(protocol, "fsspec" if error.name == "fsspec" else f"for {protocol}://")
            raise MissingExtra(library, EXTRAS.get(protocol, "s3"), purpose=f"the store {self.shown}") from error
        except ValueError as error:
            raise UsageError(f"no such kind of store: {error}", where=self.shown) from error
        return files, str(root).rstrip("/")

    @property
    def _files(self) -> Any:
        return self._opened[0]

    @property
    def _root(self) -> str:
        return self._opened[1]

    def _size(self, place: str) -> int | None:
        try:
            return int(self._files.info(place)["size"])
        except FileNotFoundError:
            return None

    def _read(self, place: str) -> bytes | None:
        try:
            return bytes(self._files.cat_file(place))
        except (FileNotFoundError, IsADirectoryError):
            return None

    def _create(self, place: str, content: bytes) -> bool:
        try:
            self._files.pipe_file(place, content, mode="create")
        except FileExistsError:
            return False
        return True

    def _remove(self, place: str) -> None:
        try:
            self._files.rm_file(place)
        except FileNotFoundError:
            return

    def _found(self, folder: str) -> list[str]:
        try:
            return [str(place) for place in self._files.find(folder)]
        except FileNotFoundError:
            return []

    @cached_property
    def _keeps_conditions(self) -> bool:
        """Whether a second conditional write of one object is refused. Raises StoreError when it is not."""
        place = f"{self._root}/probes/{uuid.uuid4().hex}"
        try:
            first, second = self._create(place, b"1"), self._create(place, b"2")
        finally:
            self._remove(place)
        if not first or second:
            raise StoreError(
                "it does not keep conditional writes (If-None-Match: *), so two could be the first to claim something",
                where=self.shown,
                fix="use a store that does (Amazon S3, MinIO, Google Cloud Storage)",
            )
        return True

    @contextmanager
    def _speaking(self, act: str) -> Iterator[None]:
        """Meanwhile whatever a file system raises becomes a StoreError that says where, and nothing secret."""
        try:
            yield
        except Nb2prodError:
            raise
        except Exception as error:  # noqa: BLE001 - each file system of fsspec has errors of its own
            raise self._cannot(act, error) from _without_secrets(error)

    def _cannot(self, act: str, error: Exception) -> StoreError:
        text = SECRET.sub("", str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)
        return StoreError(f"cannot {act} the store: {text}", where=self.shown, fix=_advice(error))


def _advice(error: Exception) -> str:
    kind = type(error).__name__
    table: tuple[tuple[Callable[[], bool], str], ...] = (
        (
            lambda: kind in ("NoCredentialsError", "PartialCredentialsError", "PermissionError", "ProfileNotFound"),
            "give this machine access to the bucket (environment, profile or role), for reading and writing",
        ),
        (lambda: isinstance(error, FileNotFoundError), "make the bucket first, or correct its name"),
        (
            lambda: "Connect" in kind or isinstance(error, ConnectionError | TimeoutError),
            "look at the network, and at the address of the store's service (AWS_ENDPOINT_URL)",
        ),
    )
    return next((advice for applies, advice in table if applies()), "look at the store's own log")


def _without_secrets(error: Exception) -> Exception | None:
    """The cause, unless its text holds what must not be printed."""
    return None if SECRET.search(str(error)) else error
