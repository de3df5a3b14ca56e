"""A passage: a piece of text that a user's search found. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of text that may help to answer a question, and where it is from."""

    text: str
    """For the model. Long texts are cut."""
    title: str | None = None
    """For the model and the user: the name of the document or of its section."""
    url: str | None = None
    """Where the user can read it: ``https://…``, ``http://…``, or a path that begins with ``/``."""
    id: str | None = None
    """Your own name for it, for your client."""
    score: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """JSON for your client, at most 1 KiB. The model does not see it."""
    number: int = 0
    """The number under which the model cites it. Set by AgentRoute: what a search sets is not used."""
