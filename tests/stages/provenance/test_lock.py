"""A lock has the versions that are here, and hashes only from where it was told to take them; licences as stated."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from nb2prod.core.errors import StoreError, UsageError
from nb2prod.stages.provenance import lock
from nb2prod.stages.provenance.closure import closure, installed
from nb2prod.stages.provenance.licences import Licence, document, licences

CLICK = closure(["click"])
ONE, OTHER = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


def test_what_is_needed_comes_with_what_that_needs_and_no_extra_that_nobody_asked_for() -> None:
    found = closure(["jinja2"])
    assert [pin.partition("==")[0] for pin in found.pins] == ["jinja2", "markupsafe"]
    assert closure(["no-such-library"]).missing == ("no-such-library",)


def test_a_lock_of_a_file_has_its_hashes(tmp_path: Path) -> None:
    given = tmp_path / "given.lock"
    given.write_text(f"# of another tool\n{CLICK.pins[0]} \\\n    --hash={OTHER} \\\n    --hash={ONE}\n    # via us\n")
    made = lock.lock(CLICK, str(given))
    assert made.hashed
    lock.write(made, tmp_path / lock.FILE)
    assert (tmp_path / lock.FILE).read_text().endswith(f"{CLICK.pins[0]} \\\n    --hash={ONE} \\\n    --hash={OTHER}\n")
    assert lock.lock(CLICK, str(tmp_path / lock.FILE)) == made


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("click==0.1 --hash=" + ONE, "the lock has click==0.1, and click=="),
        ("other==1 --hash=" + ONE, "the lock does not name click"),
        (CLICK.pins[0], "the lock has no hash of click"),
        ("click>=8", "this is no lock: 'click>=8' is no exact version"),
    ],
)
def test_a_lock_that_does_not_fit_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "given.lock").write_text(text + "\n")
    with pytest.raises(StoreError, match=said):
        lock.lock(CLICK, str(tmp_path / "given.lock"))


def test_a_way_that_is_none_is_refused_before_anything_runs() -> None:
    with pytest.raises(UsageError, match="there is no file hashes"):
        lock.refuse_way("hashes")


def test_hashes_that_were_asked_for_once_need_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And without them and without a network there is no hashed lock, rather than one with holes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(
        StoreError, match="pip cannot say the hashes of the lock: No matching distribution found for click"
    ):
        lock.lock(CLICK, lock.HASHED)
    kept = lock._cache() / CLICK.pins[0]
    kept.parent.mkdir(parents=True)
    kept.write_text(ONE + "\n")
    assert lock.lock(CLICK, lock.HASHED).hashes == {CLICK.pins[0]: (ONE,)}


BSD = "Redistribution and use in source and binary forms, with or without modification, are permitted."
NEITHER = (
    "may be used to\nendorse or promote products derived from this software without specific prior written permission."
)
MIT = "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and"


@pytest.mark.parametrize(
    ("metadata", "text", "expected"),
    [
        ("License-Expression: mit OR apache-2.0", "", "MIT OR Apache-2.0"),
        ("License: BSD-3-Clause", "", "BSD-3-Clause"),
        ("License: Apache License 2.0", "", "Apache-2.0"),
        ("Classifier: License :: OSI Approved :: MIT License", "", "MIT"),
        ("Classifier: License :: OSI Approved :: BSD License", "", "unknown"),
        ("License: BSD", f"{BSD}\n{NEITHER}", "BSD-3-Clause"),
        ("License: BSD", BSD, "BSD-2-Clause"),
        ("License: BSD", f"{BSD}\n{NEITHER}\n{MIT}", "unknown"),
        ("Summary: none", "", "unknown"),
        (
            "Classifier: License :: OSI Approved :: MIT License\n"
            "Classifier: License :: OSI Approved :: ISC License (ISCL)",
            "",
            "unknown",
        ),
    ],
)
def test_a_licence_is_what_the_library_says_beyond_doubt(
    tmp_path: Path, metadata: str, text: str, expected: str
) -> None:
    home = tmp_path / "some-1.0.dist-info"
    (home / "licenses").mkdir(parents=True)
    (home / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: Some\nVersion: 1.0\n{metadata}\nLicense-File: LICENSE\n"
    )
    (home / "licenses" / "LICENSE").write_text(text)
    (found,) = licences([installed(importlib.metadata.PathDistribution(home))])
    assert (found.name, found.version, found.spdx) == ("some", "1.0", expected)


def test_a_licence_that_is_unknown_comes_with_the_librarys_own_words() -> None:
    told = document([Licence("a", "1", "MIT"), Licence("b", "2", "unknown", "Dual License")])
    assert told["licences"] == {"MIT": 1, "unknown": 1}
    assert told["libraries"][1] == {"name": "b", "version": "2", "licence": "unknown", "stated": "Dual License"}
