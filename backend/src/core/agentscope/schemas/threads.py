"""Threads in lists: one item per thread, in pages, newest activity first."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from core.agentscope.schemas.agent_runtime import ActiveRun, ThreadUsage
from core.agentscope.schemas.messages import WireModel
from core.agentscope.schemas.page_place import micros_of, read_place, time_of, write_place

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]

_FORM = re.compile(r"(0|[1-9][0-9]{0,17})\.([1-9][0-9]{0,17})")


class ThreadItem(WireModel):
    """One thread of the caller."""

    thread_id: str
    agent_id: str | None = None
    """The thread's agent."""
    title: str | None = None
    created_at: datetime
    updated_at: datetime
    """When a run was last accepted or ended; a new title changes nothing here."""
    message_count: int
    """Number of messages in ``GET /history``, without the messages of a live run."""
    active_run: ActiveRun | None = None
    pending_interrupts: int = 0
    """Tool calls that wait for the user's decision."""
    usage: ThreadUsage

    def wire(self) -> dict[str, Any]:
        """Return the JSON form; here ``null`` says "none", as in ``activeRun``."""
        return self.model_dump(mode="json", by_alias=True)


class ThreadListResponse(WireModel):
    """A page of the caller's threads."""

    threads: list[ThreadItem]
    next_before: str | None = None
    """``before`` of the next page; null on the last one."""

    def wire(self) -> dict[str, Any]:
        """Return the JSON form; here ``null`` says "none"."""
        return self.model_dump(mode="json", by_alias=True)


class RenameThreadCommand(WireModel):
    """Body of ``PATCH /threads/{threadId}``."""

    title: Title = Field(description="1 to 200 characters. White space at both ends is removed.")


@dataclass(frozen=True, slots=True)
class ThreadPlace:
    """The end of a page of threads: the last activity on the page. Opaque on the wire."""

    updated_at: datetime
    session_id: int

    @classmethod
    def parse(cls, text: str) -> ThreadPlace:
        """Read a place; ``parse(str(place)) == place``.

        Raises:
            ValueError: The text is not a ``nextBefore`` value.
        """
        found = read_place(text, _FORM)
        return cls(time_of(found[1]), int(found[2]))

    def __str__(self) -> str:
        return write_place(f"{micros_of(self.updated_at)}.{self.session_id}")
