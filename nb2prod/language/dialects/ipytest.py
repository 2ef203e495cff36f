"""ipytest: a cell that runs pytest on itself is a test of the pipeline.

| magic | here |
| --- | --- |
| `%%ipytest ARGUMENTS` | `%%test`, the arguments left out |
| `%%run_pytest[clean] ARGUMENTS` (before 0.9) | the same |
"""

from __future__ import annotations

from nb2prod.language.dialects._dialect import Dialect

DIALECT = Dialect(magics={"ipytest": "test", "run_pytest": "test"})
