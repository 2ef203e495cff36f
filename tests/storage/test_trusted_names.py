"""Names of the libraries that a model file may hold: what computes, and nothing that reads, writes or runs."""

from __future__ import annotations

import pytest

from nb2prod.core.package_contents import NameUse
from nb2prod.storage.model_formats import is_trusted
from nb2prod.storage.trusted_names import computes, is_plainly_known

# each of these read, wrote, unpickled or ran something when a crafted skops file named it
WEAPONS = [
    "numpy.matlib.load",  # the same numpy.load by another name: it unpickles when told so
    "numpy.memmap",
    "numpy._core.memmap.memmap",
    "numpy.rec.fromfile",
    "numpy.ma.mrecords.openfile",
    "numpy.lib._npyio_impl.load",
    "numpy.test",
    "scipy.sparse.save_npz",
    "scipy.sparse._matrix_io.save_npz",
    "scipy.odr.ODR",
    "scipy.LowLevelCallable",
    "scipy.stats._continuous_distns.norm_gen",  # runs a text of its state as code
    "scipy.stats.distributions.norm_gen",
    "scipy.stats._distn_infrastructure.rv_generic",
    "sklearn.utils.discovery.import_module",
    "sklearn.callback._transport.Listener",
    "sklearn.callback._callback_context.datetime",
    "sklearn.feature_selection._base.attrgetter",
    "sklearn.gaussian_process.kernels.namedtuple",
    "sklearn.tree.export_graphviz",
    "sklearn.utils._repr_html.estimator.Path",
    "sklearn.utils.parallel.Parallel",
    "builtins.eval",
    "os.system",
]
USES: tuple[NameUse, ...] = ("made", "called", "value")


@pytest.mark.parametrize("name", WEAPONS)
def test_what_does_more_than_compute_is_not_trusted_for_any_use(name: str) -> None:
    assert [use for use in USES if is_plainly_known(name, use) or computes(name, use)] == []
    assert not is_trusted(name)


@pytest.mark.parametrize(
    ("name", "uses"),
    [
        ("numpy.log1p", ["value"]),
        ("scipy.special.expit", ["value"]),
        ("sklearn.metrics.f1_score", []),  # it is defined elsewhere, and a file names it there
        ("numpy.ndarray", ["made", "called", "value"]),
        ("numpy.dtypes.Int64DType", ["made", "called", "value"]),
        ("sklearn.tree._tree.Tree", ["made", "called", "value"]),
        ("scipy.sparse._csr.csr_matrix", ["made", "called", "value"]),
        ("sklearn.linear_model._logistic.LogisticRegression", ["made", "called", "value"]),
    ],
)
def test_what_computes_is_trusted_and_only_classes_are_called(name: str, uses: list[str]) -> None:
    assert [use for use in USES if computes(name, use)] == uses


def test_estimators_are_known_without_a_look_into_the_library_when_they_are_filled_and_not_called() -> None:
    name = "sklearn.ensemble._forest.RandomForestClassifier"
    assert [use for use in USES if is_plainly_known(name, use)] == ["made"]
    assert [use for use in USES if is_plainly_known("numpy.float64", use)] == ["made", "called", "value"]
