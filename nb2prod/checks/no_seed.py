"""Random numbers are drawn without a seed, so that no run gives the same numbers again.

A model that cannot be trained again cannot be proved. Give `random_state=` (or seed the generator in a `setup` cell);
a parameter `seed: int = 7` makes it a choice of the caller.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nb2prod.core.edit import Edit
from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline
from nb2prod.language.code_cells import code_cells
from nb2prod.language.places import span
from nb2prod.language.plain import plain

CODE = "no-seed"
SEVERITY: Severity = "warning"

# callables of scikit-learn that draw at random when `random_state` is not given
NAMES = """
train_test_split ShuffleSplit StratifiedShuffleSplit RandomizedSearchCV RandomForestClassifier RandomForestRegressor
ExtraTreesClassifier ExtraTreesRegressor DecisionTreeClassifier DecisionTreeRegressor GradientBoostingClassifier
GradientBoostingRegressor HistGradientBoostingClassifier HistGradientBoostingRegressor IsolationForest MLPClassifier
MLPRegressor KMeans MiniBatchKMeans SGDClassifier SGDRegressor AdaBoostClassifier AdaBoostRegressor BaggingClassifier
BaggingRegressor TSNE permutation_importance shuffle resample
"""
DRAWING = frozenset(NAMES.split())
SEEDING = frozenset({"seed", "manual_seed", "set_random_seed", "seed_everything", "RandomState", "default_rng"})
GENERATORS = ("np.random", "numpy.random", "random")
NOT_DRAWING = frozenset({"seed", "getstate", "setstate", "get_state", "set_state", "Generator", "SeedSequence"})


def check(pipeline: Pipeline) -> Iterator[Finding]:
    imported = {binding.name for binding in pipeline.bindings if binding.kind == "import"}
    seeded = False
    for cell, role in enumerate(pipeline.roles):
        tree = plain(role.body).tree if role is not None and role.kind not in ("skip", "test") else None
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)) if tree and role else ():
            name = ast.unparse(call.func)
            line = call.lineno + role.line_offset if role else None
            seeded = seeded or (name.rpartition(".")[2] in SEEDING and bool(call.args or call.keywords))
            if name.rpartition(".")[2] == "default_rng" and not (call.args or call.keywords):
                yield Finding(CODE, SEVERITY, f"`{name}()` has no seed", "give it a seed", cell, line)
            elif name in DRAWING and name in imported and not seeded and not _has_random_state(call):
                fix = f"write {name}(…, random_state=seed)"
                yield Finding(CODE, SEVERITY, f"`{name}` draws at random without random_state", fix, cell, line)
            elif _draws(name, imported) and not seeded:
                fix = "seed the generator in a cell tagged setup"
                yield Finding(CODE, SEVERITY, f"`{name}` draws from a generator that nothing seeds", fix, cell, line)


def _has_random_state(call: ast.Call) -> bool:
    # `**options` may hold it; an explicit None does not count
    return any(
        keyword.arg is None
        or (
            keyword.arg == "random_state"
            and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is None)
        )
        for keyword in call.keywords
    )


def _draws(name: str, imported: set[str]) -> bool:
    generator, _, method = name.rpartition(".")
    return generator in GENERATORS and generator.partition(".")[0] in imported and method not in SEEDING | NOT_DRAWING


def fixes(pipeline: Pipeline, finding: Finding) -> tuple[Edit, ...]:
    """`random_state=seed` where a parameter above is called so, else `random_state=0`, as the call's last argument."""
    cell = next((cell for cell in code_cells(pipeline) if cell.index == finding.cell), None)
    calls = [call for call in cell.every(ast.Call) if cell.line(call) == finding.line] if cell else []
    meant = [call for call in calls if f"`{ast.unparse(call.func)}" in finding.message]
    place = span(cell, meant[0]) if cell is not None and len(meant) == 1 else None
    if cell is None or place is None or "generator that nothing seeds" in finding.message:
        return ()
    seed = next((p.name for p in pipeline.parameters if p.name == "seed" and p.cell < cell.index), "0")
    word = seed if "default_rng" in finding.message else f"random_state={seed}"
    given = [*meant[0].args, *(keyword.value for keyword in meant[0].keywords)]
    last = span(cell, given[-1]) if given else None
    if any(keyword.arg == "random_state" for keyword in meant[0].keywords):
        return ()
    if last is None:  # before the closing bracket
        end = (place[1][0], place[1][1] - 1)
        return (Edit(cell.index, end, end, word),)
    return (Edit(cell.index, last[1], last[1], f", {word}"),)
