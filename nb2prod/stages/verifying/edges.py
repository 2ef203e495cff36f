"""What a comparison proves of the pipeline's edges: the ends of each were compared, and are the same or are not."""

from __future__ import annotations

from collections.abc import Sequence

from nb2prod.core.equality import Boundary, Compared, ProvenEdge
from nb2prod.core.pipeline import PARAMETERS, RANDOM, SHARED, Edge, EdgeKind, Pipeline, Step


def edges(pipeline: Pipeline, boundaries: Sequence[Boundary]) -> tuple[ProvenEdge, ...]:
    """Every edge with what the comparison says of it: proven when both ends were compared and are the same."""
    return tuple(
        _edge(step, edge, boundaries)
        for step in pipeline.steps
        for edge in step.edges
        if edge.source not in (PARAMETERS, *SHARED)
    )


def _edge(step: Step, edge: Edge, boundaries: Sequence[Boundary]) -> ProvenEdge:
    kind = "random" if edge.name == RANDOM else "value"
    same = [one for one in boundaries if one.kind == kind and (edge.name == RANDOM or one.name == edge.name)]
    ends = [one for one in same if one.step in (step.name, edge.source)]
    broken = next((one for one in ends if one.verdict == "different"), None)
    blank = next((one for one in ends if one.verdict == "uncompared"), None)

    def said(verdict: Compared, reason: str, kind: EdgeKind = edge.kind) -> ProvenEdge:
        return ProvenEdge(step.name, edge.name, edge.source, kind, verdict, reason)

    if broken is not None:
        return said("different", f"at the end of {broken.step}, {broken.difference.text}")
    if blank is not None:
        return said("uncompared", "; ".join(blank.difference.uncompared))
    if step.name not in {one.step for one in ends}:
        return said("uncompared", f"step {step.name} did not use it" if kind == "value" else "nothing was drawn")
    near = any(one.verdict == "tolerant" for one in ends)
    return said("tolerant" if near else "equal", "what the step got is what the notebook has", "proven")
