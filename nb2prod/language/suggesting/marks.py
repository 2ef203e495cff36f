"""What a pipeline should hand over: the model, an example of its rows, scores and figures.

The model is the fitted object that is used last; its example are the rows that it predicts, under the name that they
have there. What has no name cannot be marked, and a note says what to bind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from nb2prod.language.suggesting.measures import is_sparse
from nb2prod.language.suggesting.view import View


@dataclass(frozen=True, slots=True)
class Mark:
    """One tag on one cell, `model:clf` say, with its reason."""

    word: str
    name: str
    cell: int
    why: str

    @property
    def tag(self) -> str:
        return f"{self.word}:{self.name}"


@dataclass(frozen=True, slots=True)
class Model:
    """The object to package and the cell that fits it last."""

    name: str
    cell: int


def model_of(view: View) -> Model | None:
    """The fitted object that is used last. What a loop fits or uses is another object each time, and none of these."""
    tagged = _tagged(view, "models")
    if tagged is not None:
        return Model(*tagged)
    events = [
        (cell, use.line, use.name)
        for cell, acts in enumerate(view.acts)
        if view.role(cell) not in ("test", "skip")
        for use in (*acts.fits, *acts.uses)
        if use.name and not use.loop and use.name not in _prepared(view) and _is_bound(view, use.name)
    ]
    if not events:
        return None
    name = max(events)[2]
    fitted = [cell for cell, acts in enumerate(view.acts) for use in acts.fits if use.name == name and not use.loop]
    bound = [b.cell for b in view.pipeline.bindings if b.name == name and not b.changed and b.certain]
    return Model(name, fitted[-1] if fitted else bound[-1])


def _tagged(view: View, word: str) -> tuple[str, int] | None:
    for cell, role in enumerate(view.pipeline.roles):
        for name in getattr(role, word) if role is not None else ():
            return name, cell
    return None


def _prepared(view: View) -> frozenset[str]:
    """Names of what is only ever fitted to make data for something else."""
    prepares = {use.name for acts in view.acts for use in acts.prepares}
    return frozenset(prepares - {use.name for acts in view.acts for use in acts.fits})


def _is_bound(view: View, name: str) -> bool:
    return any(b.name == name and b.kind == "value" and b.certain and not b.changed for b in view.pipeline.bindings)


# -- the example -------------------------------------------------------------------------------------------------------


def rows_of(view: View, model: Model) -> tuple[str, str]:
    """(name, reason) of the rows that the model takes; the name is empty where they have none."""
    fits = [use for acts in view.acts for use in acts.fits if use.name == model.name and not use.loop]
    uses = [use for acts in view.acts for use in acts.uses if use.name == model.name and not use.loop]
    fitted = {use.rows for use in fits if use.rows}
    asked = Counter(use.rows for use in uses if use.rows and use.rows not in fitted)
    if asked:
        name = asked.most_common(1)[0][0]
        return name, f"`{name}` are the rows that `{model.name}` is asked about"
    for use in [*uses, *fits]:
        if use.rows:
            return use.rows, f"`{use.rows}` are the rows that `{model.name}` is fitted on"
    return "", ""


def example_of(view: View, model: Model) -> Mark | None:
    """The example, where its rows have a name and a package could take them."""
    name, why = rows_of(view, model)
    if not name or _tagged(view, "examples") or is_column(view, name) or _vectorizer(view, name):
        return None
    cells = [
        cell
        for cell, acts in enumerate(view.acts)
        for use in (*acts.uses, *acts.fits)
        if use.name == model.name and use.rows == name
    ]
    seen = [r.binding.cell for r in view.pipeline.reads if r.name == name and r.cell == cells[0] and r.binding]
    return Mark("example", name, seen[-1] if seen else cells[0], why)


def makers_of(view: View, name: str) -> list[str]:
    """The transformers that made the rows, last first: `["scaler"]` for `Z_test` of `scaler.transform(X_test)`."""
    made = {target: source for acts in view.acts for target, source in acts.made}
    prepared = {use.name for acts in view.acts for use in acts.prepares}
    found: list[str] = []
    while name in made and name not in found:
        name = made[name]
        if name in prepared:
            found.append(name)
    return found


def _vectorizer(view: View, name: str) -> str:
    return next((maker for maker in makers_of(view, name) if is_sparse(maker, view.cells)), "")


def is_column(view: View, name: str) -> bool:
    """Whether rows are one column of a frame, or what `train_test_split` makes of one."""
    made = {target: source for acts in view.acts for target, source in acts.made}
    columns = {column for acts in view.acts for column in acts.columns}
    return name in columns or made.get(name, "") in columns


# -- scores and figures -----------------------------------------------------------------------------------------------


def metrics_of(view: View, model: Model | None) -> Iterator[Mark]:
    """Names bound to a score; names that are printed as a number once there is a model."""
    start = model.cell if model else 0
    for cell in view.open:
        for name in view.acts[cell].numbers:
            if view.certain(name, cell):
                yield Mark("metric", name, cell, f"`{name}` is a score")
    scores = {name for acts in view.acts for name in acts.numbers}
    for cell in view.open:
        for name in view.acts[cell].printed if cell >= start else ():
            bound = [c for c in view.open if start <= c <= cell and view.certain(name, c)]
            if bound and name not in scores:
                yield Mark("metric", name, bound[-1], f"`{name}` is printed as a number")


def plots_of(view: View, model: Model | None) -> Iterator[Mark]:
    """Figures of what the model gives, where each has a name of its own."""
    if model is None:
        return
    downstream = _downstream(view, model.cell)
    found = [(name, cell) for cell in view.open if cell in downstream for name in view.acts[cell].figures]
    times = Counter(name for name, _ in found)
    for name, cell in found:
        if times[name] == 1 and view.certain(name, cell):
            yield Mark("plot", name, cell, f"`{name}` is a figure of the model's results")


def _downstream(view: View, start: int) -> frozenset[int]:
    """The cells from `start` on that need what it makes."""
    found = {start}
    for cell in view.open:
        if cell > start and any(made.cell in found and made.cell >= start for made in view.needs(cell)):
            found.add(cell)
    return frozenset(found)


# -- notes -------------------------------------------------------------------------------------------------------------


def notes_of(view: View, model: Model | None, work: frozenset[int]) -> Iterator[str]:
    """What a person must do so that the model can be packaged and its scores logged."""
    fits = [(cell, use) for cell, acts in enumerate(view.acts) for use in acts.fits]
    called = [cell for cell, acts in enumerate(view.acts) if "fit" in acts.known]
    if model is None and (fits or called):
        yield _why_no_model(fits[-1][0], fits[-1][1].loop) if fits else _why_no_model(called[-1], loop=False)
    if model is not None and _tagged(view, "examples") is None:
        yield from _notes_of_rows(view, model)
    for cell in sorted(work):
        for line in view.acts[cell].unnamed[:1]:
            yield (
                f"cell {cell}, line {line} shows a score without a name: bind it to one (`accuracy = …`) "
                "and tag the cell metric:accuracy to log it"
            )
    figures = [
        (name, cell) for cell in sorted(work) for name in view.acts[cell].figures if model and cell >= model.cell
    ]
    for name, count in Counter(name for name, _ in figures).items():
        if count > 1:
            places = ", ".join(str(cell) for other, cell in figures if other == name)
            yield f"the figures of cells {places} are all named `{name}`: give each its own name to keep them as plots"


def _why_no_model(cell: int, loop: bool) -> str:
    if loop:
        return (
            f"cell {cell} fits models in a loop, one after the other under one name: bind the one to package to a name "
            "of its own (`model = models[best]`) and tag that cell model:model"
        )
    return (
        f"cell {cell} fits a model that has no name outside: let the function that fits it return it, bind it "
        "(`model = main()`) and tag that cell model:model"
    )


def _notes_of_rows(view: View, model: Model) -> Iterator[str]:
    name, _ = rows_of(view, model)
    makers = makers_of(view, name)
    if makers:
        first = ", ".join(f"`{maker}`" for maker in reversed(makers))
        pair = ", ".join([*reversed(makers), model.name])
        sparse = f"; no example is proposed, as `{name}` is a sparse matrix, which no signature describes"
        yield (
            f"`{model.name}` takes what {first} makes, not raw rows{sparse if _vectorizer(view, name) else ''}. To "
            f"package them together, make one pipeline of them: `make_pipeline({pair})`"
        )
    elif name and is_column(view, name):
        yield (
            f"`{name}` is one column, and a package takes frames: fit on a frame (`df[['text']]` and a "
            f"ColumnTransformer that names the column) to package `{model.name}`"
        )
    elif not name:
        uses = [use for acts in view.acts for use in (*acts.uses, *acts.fits) if use.name == model.name and use.text]
        if uses:
            text = uses[0].text if len(uses[0].text) < 40 else uses[0].text[:37] + "…"
            yield f"the rows that `{model.name}` takes have no name: bind them (`X = {text}`), tagged example:X"
        else:
            yield f"nothing shows which rows `{model.name}` takes: tag the cell that makes them example:NAME"
