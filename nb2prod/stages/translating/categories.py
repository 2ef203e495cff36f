"""Columns of categories: said in a call as text or numbers, and given to the model as the categories it was fitted on.

To steps that look at values a category is its value. What is none of the categories the package refuses, so such rows
are outside of what the translation answers. Boosting by LightGBM looks at their places instead (`Block.categories`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nb2prod.stages.translating.blocks import Block
from nb2prod.stages.translating.features import UNKNOWN, place_of
from nb2prod.stages.translating.graph import Untranslatable
from nb2prod.stages.translating.tables import Table


def as_fitted(table: Table, recipes: Sequence[Mapping[str, Any]]) -> Table:
    """The table as the model gets it. `recipes` are the package's own for columns that it makes again."""
    made = {recipe["column"]: recipe for recipe in recipes if recipe["as"] == "category"}
    return Table({name: _category(table[name], made[name]) if name in made else table[name] for name in table.columns})


def _category(block: Block, recipe: Mapping[str, Any]) -> Block:
    categories = list(recipe["categories"])
    is_text = all(isinstance(one, str) for one in categories)
    if is_text != (block.dtype == "text") or block.dtype == "bool":
        raise Untranslatable(f"the column {recipe['column']} has categories of another type than its values")
    if recipe["ordered"] and categories != sorted(categories):
        raise Untranslatable(f"the column {recipe['column']} has categories in an order of their own")
    found = block if is_text else block.real  # the package compares numbers so
    place = place_of(found, categories)
    is_known = place < len(categories)
    if found.dtype in ("text", "float64"):
        is_known = is_known | found.isna()
    block.graph.require(is_known.name, UNKNOWN)
    if not is_text:
        values = block.graph.reals([*categories, np.nan])
        found = Block(block.graph, block.graph.add("Gather", values, place.name, axis=0), "float64", 1)
    found.categories = tuple(categories)
    return found
