"""What one service takes on: sizes that a request may have, and how much it works on at once."""

from __future__ import annotations

import os
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`concurrency` predictions run at once, `waiting` more requests may wait for one of them to end.

    `seconds` is the time of one prediction, `body_seconds` the time a body may take to arrive. A prediction that runs
    over gives its slot back; `stuck` such predictions that never end, and the service calls itself unhealthy, because
    nothing but a restart ends them.
    """

    body_bytes: int = 10_000_000
    json_depth: int = 32
    rows: int = 100_000
    seconds: float = 60.0
    body_seconds: float = 30.0
    concurrency: int = field(default_factory=lambda: max(2, os.cpu_count() or 1))
    waiting: int = 32
    stuck: int = 16

    def __post_init__(self) -> None:
        for name in ("body_bytes", "json_depth", "rows", "seconds", "body_seconds", "concurrency", "stuck"):
            if getattr(self, name) <= 0:
                raise ValueError(f"the limit {name} must be greater than 0")
        if self.waiting < 0:
            raise ValueError("the limit waiting must not be negative")
