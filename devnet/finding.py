"""What a check of a network has found."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One invariant: whether it holds, and what was seen."""

    what: str
    holds: bool
    detail: str
