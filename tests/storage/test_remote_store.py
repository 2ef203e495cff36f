"""The content store at a URL: a real S3 protocol server on loopback, and fsspec's memory."""

from __future__ import annotations

import hashlib
import pickle
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nb2prod.core.errors import StoreError, UsageError
from nb2prod.storage.remote_store import RemoteStore
from nb2prod.storage.store import Store, open_store

pytest.importorskip("s3fs")
pytest.importorskip("moto.server")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def access(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment that S3's own tools read, and a bucket; its name."""
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key-of-nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    bucket = f"bucket-{uuid.uuid4().hex[:8]}"
    s3fs.S3FileSystem().mkdir(bucket)
    return bucket


@pytest.fixture(params=["s3", "memory", "local"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return open_store(tmp_path / "store")
    if request.param == "memory":
        return open_store(f"memory://{uuid.uuid4().hex}")
    return open_store(f"s3://{request.getfixturevalue('access')}/some/store")


def test_content_comes_back_under_its_digest_and_is_there_once(store: Store) -> None:
    digest = store.put(b"seven")
    assert digest == hashlib.sha256(b"seven").hexdigest()
    assert store.put(b"seven") == digest
    assert (store.has(digest), store.get(digest)) == (True, b"seven")
    assert store.has("0" * 64) is False
    with pytest.raises(StoreError, match="is not there"):
        store.get("0" * 64)


def test_of_a_record_the_last_counts_and_of_claims_the_first(store: Store) -> None:
    assert store.read("runs/a/step.json") is None
    store.write("runs/a/step.json", b"1")
    store.write("runs/a/step.json", b"2")
    assert store.read("runs/a/step.json") == b"2"
    assert [store.claim("runs/a/owner", who) for who in (b"me", b"you")] == [True, False]
    assert store.read("runs/a/owner") == b"me"
    store.write("runs/b/step.json", b"3")
    assert list(store.names("runs/a/")) == ["runs/a/owner", "runs/a/step.json"]
    assert list(store.names("runs/")) == ["runs/a/owner", "runs/a/step.json", "runs/b/step.json"]
    store.remove("runs/a/owner")
    store.remove("runs/a/owner")
    assert list(store.names("runs/a/o")) == []
    assert list(store.names("nothing/")) == []


def test_of_many_that_claim_at_once_one_is_first(access: str) -> None:
    """Each with a connection of its own would be other processes; here they share the server, which decides."""
    stores = [open_store(f"s3://{access}/x") for _ in range(4)]
    barrier = threading.Barrier(4)

    def claim(number: int) -> int:
        barrier.wait()
        return sum(stores[number].claim(f"claims/{item}", str(number).encode()) for item in range(10))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(claim, range(4))) == 10


def test_what_another_has_written_since_is_seen(access: str) -> None:
    mine, other = RemoteStore(f"s3://{access}/x"), RemoteStore(f"s3://{access}/x")
    assert list(mine.names("a/")) == []
    other.write("a/1", b"1")
    assert list(mine.names("a/")) == ["a/1"]


def test_damaged_content_is_noticed_and_can_be_put_again(access: str) -> None:
    import s3fs

    store = RemoteStore(f"s3://{access}/x")
    digest = store.put(b"whole")
    s3fs.S3FileSystem().pipe_file(f"{access}/x/content/{digest[:2]}/{digest}", b"w/ole")
    with pytest.raises(StoreError, match="is damaged"):
        store.get(digest)
    assert store.get(store.put(b"whole")) == b"whole"


def test_a_store_travels_as_its_url(access: str) -> None:
    store = RemoteStore(f"s3://{access}/x")
    digest = store.put(b"there")
    travelled = pickle.dumps(store)
    assert b"hush" not in travelled
    assert pickle.loads(travelled).get(digest) == b"there"


def test_a_bucket_that_is_not_there_is_an_error_that_says_where(access: str) -> None:
    with pytest.raises(StoreError, match=r"s3://no-such-bucket/x: cannot write the store") as caught:
        RemoteStore("s3://no-such-bucket/x").put(b"1")
    assert "make the bucket first" in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_password_in_a_url_is_not_printed() -> None:
    with pytest.raises((StoreError, UsageError)) as caught:
        RemoteStore("nowhere://me:hush@host/x").put(b"1")
    assert "hush" not in str(caught.value)
    assert "nowhere://host/x" in str(caught.value)


def test_a_store_that_takes_conditions_and_does_not_keep_them_is_refused() -> None:
    """Written against a file system of fsspec's that ignores `mode`, as old S3 servers ignore the header."""
    import fsspec
    from fsspec.implementations.memory import MemoryFileSystem

    class Careless(MemoryFileSystem):  # type: ignore[misc]
        protocol = "careless"

        def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: object) -> None:
            super().pipe_file(path, value, mode="overwrite", **options)

    fsspec.register_implementation("careless", Careless, clobber=True)
    with pytest.raises(StoreError, match="does not keep conditional writes"):
        RemoteStore("careless://x").claim("a", b"1")


@pytest.mark.parametrize("name", ["../x", "/x", "a/../b", ".hidden", ""])
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        RemoteStore("memory://names").write(name, b"1")
