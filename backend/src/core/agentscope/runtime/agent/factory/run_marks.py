"""Marks the parts that a factory is given for one run: the state, the model, the toolkit and our tools in it.

A factory may keep such a part, and give it to the run of another user. The mark tells. It is an attribute, so copies of
the part carry it, too.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

_RUN = "_agentroute_run"


def new_mark() -> str:
    """Return the mark of a run; no two runs have the same."""
    return uuid4().hex


def marked(part: Any, run: str) -> Any:
    """Return the part itself, marked as one of the run."""
    vars(part)[_RUN] = run
    return part


def is_of(part: Any, run: str) -> bool:
    """Tell whether a part was given to this run."""
    return _mark_of(part) == run


def is_of_another(part: Any, run: str) -> bool:
    """Tell whether a part was given to another run."""
    return _mark_of(part) not in (None, run)


def _mark_of(part: Any) -> str | None:
    return getattr(part, "__dict__", {}).get(_RUN)
