"""Which names of scikit-learn, scipy and numpy a model file may hold: what computes, and nothing else.

Being part of these libraries is not enough. Their modules also hold what they imported (`sklearn.utils.discovery` has
`import_module`), functions that read, write or unpickle files (`numpy.matlib.load`), and classes that run text as code
when their state is set (`scipy.stats` distributions). So a name counts only where it was defined, and only outside of
what is listed here as doing more than to compute.

A file says also what is done with a name. What it calls while it is loaded, with arguments of its own choosing, must be
a class that does no more than hold values.
"""

from __future__ import annotations

import re
import sys
from typing import Any

from nb2prod.core.package_contents import NameUse

FAMILIES = ("sklearn", "numpy", "scipy")
# what exists to read, write, fetch, compile, test, show or run something, or to call a function that it is given
REFUSED_MODULES = re.compile(
    r"(numpy\.(testing|f2py|ctypeslib|distutils|matlib|typing|compat|_pytesttester|_configtool|_pyinstaller|ma\.(testutils|mrecords)"
    r"|lib\._?(npyio|format|utils|datasource|introspect|user_array|shape_base|function_base|polynomial)\w*"
    r"|_?core\.(_?internal|memmap|records|overrides|function_base))"
    r"|scipy\.(io|datasets|_lib|odr|conftest|stats\._?\w*(distn|distr|unuran|sampling)\w*"
    r"|sparse\._matrix_io|special\._precompute|special\._mptestutils)"
    r"|sklearn\.(datasets|externals|callback|conftest|tree\._export|inspection"
    r"|utils\.(_testing|_test_common|_show_versions|_repr_html|_estimator_html_repr|discovery|estimator_checks|parallel"
    r"|deprecation|_mocking|_plotting|fixes)))(\.|$)"
)
REFUSED_LAST = re.compile(
    r"(from|to)(file|regex|textfile|string|buffer|iter|function|pyfunc)|(gen|load|from|save)txt|(load|save)(z|_npz)?|savez_compressed"
    r"|open\w*|memmap|DataSource|frompyfunc|vectorize|apply_(along|over)_ax(is|es)|piecewise|test|info|source|show\w*"
    r"|rv_\w+|\w+_gen|add_newdoc\w*|set_\w+|export_\w+|lru_cache|config_context"
)
_HOLDS = re.compile(
    r"numpy\.(ndarray|dtype|bool_?|str_|bytes_|void|datetime64|timedelta64|(u?int|float|complex)\d+|intp|uintp|longlong"
    r"|ulonglong|longdouble|clongdouble|ma\.(core\.)?MaskedArray|random\.mtrand\.RandomState|random\._generator\.Generator"
    r"|random\.(PCG64|PCG64DXSM|MT19937|Philox|SFC64))"
    r"|scipy\.sparse\._(bsr|csc|csr|coo|dia|dok|lil)\.\w+_(matrix|array)"
)
_MADE = re.compile(
    r"sklearn\.(base|calibration|cluster|compose|covariance|cross_decomposition|decomposition|discriminant_analysis|dummy"
    r"|ensemble|feature_extraction|feature_selection|gaussian_process|impute|isotonic|kernel_approximation|kernel_ridge"
    r"|linear_model|manifold|mixture|model_selection|multiclass|multioutput|naive_bayes|neighbors|neural_network"
    r"|pipeline|preprocessing|random_projection|semi_supervised|svm|tree|_loss)(\.[a-z_]\w*)*\.[A-Z_]\w*[a-z]\w*"
)
_UFUNCS = re.compile(r"scipy\.special\._\w*ufuncs\.[a-z]\w*")


def is_refused(name: str) -> bool:
    """Whether the name is of what does more than compute."""
    return bool(REFUSED_MODULES.match(name) or REFUSED_LAST.fullmatch(name.rpartition(".")[2]))


def is_plainly_known(name: str, use: NameUse) -> bool:
    """Whether the name needs no look into its library: scalars, arrays, estimators that are filled and not called."""
    if is_refused(name):
        return False
    if use == "value":
        return bool(_HOLDS.fullmatch(name) or _UFUNCS.fullmatch(name))
    return bool(_HOLDS.fullmatch(name) or (use == "made" and _MADE.fullmatch(name)))


def computes(name: str, use: NameUse = "value") -> bool:
    """Whether the name, looked up in its library, which is imported, is what it says: a class, or a public function.

    What is called while a file is loaded must be a class.
    """
    home, _, last = name.rpartition(".")
    if home.partition(".")[0] not in FAMILIES or is_refused(name):
        return False
    found = _looked_up(home, last)
    if found is None or not _is_defined_there(found, home, last):
        return False
    if isinstance(found, type):
        return not any(REFUSED_LAST.fullmatch(base.__name__) for base in found.__mro__)
    public = not any(part.startswith("_") for part in (*home.split("."), last))
    return use == "value" and callable(found) and public


def _looked_up(home: str, last: str) -> Any:
    try:
        return getattr(sys.modules.get(home) or __import__(home, fromlist=[last]), last)
    except (ImportError, AttributeError):
        return None


def _is_defined_there(found: Any, home: str, last: str) -> bool:
    """A ufunc of scipy does not say where it is defined; whatever else says nothing is not taken."""
    import numpy

    stated = getattr(found, "__module__", None)
    if stated is None:
        return isinstance(found, numpy.ufunc) and found.__name__ == last
    return stated == home and getattr(found, "__name__", None) == last
