"""What stops the service (`ServingError`) and what turns one request down (`Refusal`)."""

from __future__ import annotations

from dataclasses import dataclass


class ServingError(Exception):
    """What went wrong (`what`), where (`where`, may be empty) and what to do (`fix`, may be empty).

    `exit_code` is the command line's: 2 wrong usage, 7 the folder cannot be read or trusted.
    """

    def __init__(self, what: str, *, where: str = "", fix: str = "", exit_code: int = 2) -> None:
        super().__init__(what, where, fix)
        self.what = what
        self.where = where
        self.fix = fix
        self.exit_code = exit_code

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f"\n  fix: {self.fix}" if self.fix else ""
        return f"{place}{self.what}{advice}"


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing wrong with one field. `reason` never holds the value; `row` counts from 0, None for all rows."""

    field: str
    reason: str
    row: int | None = None


class Refusal(Exception):
    """The answer to a request that gets no predictions: a status, a reason without data, and its fields."""

    def __init__(
        self,
        status: int,
        reason: str,
        fields: tuple[FieldProblem, ...] = (),
        *,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
        self.fields = fields
        self.headers = headers
