"""The names in a pickle are found without unpickling it, in every protocol and however they are hidden."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nb2prod.storage.pickle_names import UNKNOWN, NotAPickle, is_pickle, names_in, names_of


class Runs:
    def __reduce__(self) -> Any:
        return os.system, ("false",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_a_pickle_calls_is_named_in_every_protocol(protocol: int) -> None:
    raw = pickle.dumps([{"a": 1.5, "text": "os"}, Runs(), Runs()], protocol)
    assert names_of(raw) == ("posix.system",)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers(),
        lambda inner: (
            st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner) | st.frozensets(st.integers())
        ),
        max_leaves=15,
    ),
    st.integers(0, pickle.HIGHEST_PROTOCOL),
)
def test_plain_values_name_nothing_that_does_anything(value: Any, protocol: int) -> None:
    allowed = {"builtins.complex", "__builtin__.complex", "builtins.frozenset", "__builtin__.frozenset"}
    allowed |= {
        "_codecs.encode",
        "builtins.bytes",
        "__builtin__.bytes",
        "copy_reg._reconstructor",
        "copyreg._reconstructor",
    }
    assert set(names_of(pickle.dumps(value, protocol))) <= allowed


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        (b"cos\nsystem\n(S'ls'\ntR.", ("os.system",)),
        (b"(S'ls'\nios\nsystem\n.", ("os.system",)),
        (b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93\x8c\x02ls\x85R.", ("os.system",)),
        # the halves of the name come from the memo, and lie far away
        (b"\x80\x04\x8c\x06system\x94\x8c\x02os\x940K\x01Nh\x01h\x00\x93\x8c\x02ls\x85R.", ("os.system",)),
        # a name of Python 2 is looked up by its new name
        (b"\x80\x02c__builtin__\neval\nX\x01\x00\x00\x001\x85R.", ("__builtin__.eval", "builtins.eval")),
        # half of the name is made while unpickling
        (b"\x80\x04\x8c\x02osK\x01\x93.", (UNKNOWN,)),
        (b"\x80\x02\x82\x01.", (UNKNOWN,)),
    ],
)
def test_hidden_names_are_found_or_called_unknown(raw: bytes, names: tuple[str, ...]) -> None:
    assert names_of(raw) == names


@pytest.mark.parametrize("raw", [b"", b"\x80\x04", b"{}", b"\x80\x04\x93.", b"\x80\x04h\x05.", b"RRRR."])
def test_what_is_no_pickle_says_so(raw: bytes) -> None:
    with pytest.raises(NotAPickle):
        names_of(raw)


def test_a_file_is_told_by_its_bytes_and_a_second_pickle_in_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "numbers.json"
    path.write_bytes(pickle.dumps(1) + pickle.dumps(Runs()) + b"rest")
    assert (names_in(path).names, names_in(path).rest) == (("posix.system",), 4)
    assert is_pickle(path)
    path.write_text('{"a": [1, 2]}')
    assert not is_pickle(path)
