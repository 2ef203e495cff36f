"""What an item of a map is given does not depend on which others are in its batch."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pandas as pd
import pytest

from nb2prod.core.mapping import Item
from nb2prod.core.pipeline import HoistedModule
from nb2prod.kernel import map_process
from nb2prod.kernel.map_job import Job

JOB = Job("d", "nb", "", (), (), HoistedModule("m", ""), rows="rows")
TABLE = pd.DataFrame({"x": np.arange(12.0), "z": np.arange(12.0) / 3, "word": ["a", "b", "c"] * 4})


@pytest.mark.parametrize("batch", [(4, 8), (0, 8), (4, 12), (0, 12)])
def test_an_items_rows_lie_in_memory_in_the_same_way_whatever_the_batch(batch: tuple[int, int]) -> None:
    """A model that keeps an array of them is else pickled in another order, and a product may have another last bit."""
    frame = pickle.loads(pickle.dumps(TABLE.iloc[slice(*batch)], protocol=5))
    item = Item(3, {}, {}, (4 - batch[0], 8 - batch[0]))
    rows = map_process._with_rows(JOB, item, frame).given["rows"]
    pd.testing.assert_frame_equal(rows, TABLE.iloc[4:8].reset_index(drop=True))
    array = rows[["x", "z"]].to_numpy()
    assert (array.strides, array.flags.f_contiguous) == ((8, 32), True)


def test_an_item_without_rows_is_given_as_it_is() -> None:
    item = Item(3, {"a": 1}, {"a": 1})
    assert map_process._with_rows(JOB, item, None) == dataclasses.replace(item)
