"""jupytext: notebooks as `.py` files (`storage/scripts.py` reads them); the tags that say in which form a cell is code.

| tag | here |
| --- | --- |
| `active-py`, `active-ipynb`, `active-ipynb-py`, … | kept |
"""

from __future__ import annotations

from nb2prod.language.dialects._dialect import KEPT, Dialect

DIALECT = Dialect(tags=((r"active(-[a-zA-Z]+)+", KEPT),))
