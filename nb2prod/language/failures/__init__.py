"""A failed cell explained: the class of the failure and what to do, or nothing when nothing is known.

Most notebooks that fail on another machine or in another year fail for few reasons: a package is missing, a library no
longer has what the notebook calls, there is no network, a file is elsewhere. Each module here knows one such family and
reads it off the exception's name, its message and its traceback: `KeyError: 'Age'` with a frame of pandas in the
traceback is a missing column, without one it may be anything and stays unexplained. What the author raises or asserts
is the author's own explanation, so nothing is added to it.

Nothing is executed. What must be seen of the machine (the files beside the notebook, the installed version of a
library) comes through the port `Machine`.
"""

from __future__ import annotations

from collections.abc import Callable

from nb2prod.core.pipeline import Pipeline
from nb2prod.core.result import Explanation, Failure
from nb2prod.language.failures import commands, endings, files, messages, modules, names, network, removed
from nb2prod.language.failures.evidence import Evidence, Machine, evidence_of

__all__ = ["FAMILIES", "Machine", "explained"]

# The first that knows it has the word: what is particular stands before what is general.
FAMILIES: tuple[Callable[[Evidence], Explanation | None], ...] = (
    endings.explained,
    modules.shadowed,
    removed.explained,
    modules.missing,
    commands.explained,
    names.explained,
    network.explained,
    files.explained,
    messages.explained,
)


def explained(failure: Failure, pipeline: Pipeline, machine: Machine) -> Explanation | None:
    """What lies behind the failure, or None."""
    evidence = evidence_of(failure, pipeline, machine)
    if evidence.own_words:
        return None
    return next((found for family in FAMILIES if (found := family(evidence)) is not None), None)
