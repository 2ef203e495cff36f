"""The six notebooks equal their isolated steps, and so do most of their untagged versions as suggested."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from nb2prod import api
from nb2prod.core.equality import Equality
from tests.notebooks.record import NAMES

HERE = Path(__file__).parent
# the model of the sixth needs a name that only the notebook has: packaging, and so the run, says which
SUGGESTED = [name for name in NAMES if not name.startswith("text_model")]


def verified(path: Path) -> Equality:
    return api.verify_notebook(path, allow_shell=True)


def suggested(name: str, folder: Path) -> Equality:
    """The untagged version, beside its data, tagged as suggested, and nothing else."""
    shutil.copytree(HERE / "data", folder / "data")
    (folder / "untagged").mkdir()
    source = Path(shutil.copy(HERE / "untagged" / name, folder / "untagged"))
    tagged = source.with_suffix(".tagged.ipynb")
    api.suggest(source, tagged)
    return verified(tagged)


@pytest.fixture(scope="module")
def proofs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Equality]]]:
    """One after the other, while the first ones are looked at: each runs its notebook at least twice.

    With one thread for sums: on a busy machine, threads that wait for each other take twice as long.
    """
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(max_workers=1) as pool:
        patch.setenv("OMP_NUM_THREADS", "1")
        asked = {name: pool.submit(verified, HERE / name) for name in NAMES}
        for name in SUGGESTED:
            asked[f"untagged/{name}"] = pool.submit(suggested, name, tmp_path_factory.mktemp("suggested"))
        yield asked


@pytest.mark.parametrize("name", [*NAMES, *(f"untagged/{name}" for name in SUGGESTED)])
def test_isolated_steps_are_proved_equal_to_the_notebook(name: str, proofs: dict[str, Future[Equality]]) -> None:
    proof = proofs[name].result()
    assert (proof.status, proof.exit_code, proof.first) == ("equal", 0, None)
    assert len(proof.boundaries) > 20
