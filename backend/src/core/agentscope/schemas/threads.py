"""Threads in lists: one item per thread, in pages, newest activity first."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from core.agentscope.schemas.agent_runtime import ActiveRun, ThreadUsage
from core.agentscope.schemas.messages import WireModel

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]

_FORM = re.compile(rb"(0|[1-9][0-9]{0,17})\.([1-9][0-9]{0,17})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 12, 31, tzinfo=UTC)


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
        try:
            match = _FORM.fullmatch(base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True))
        except (UnicodeEncodeError, binascii.Error) as exc:
            raise ValueError("not the 'nextBefore' of a page") from exc
        if match is None or int(match[1]) > (_LATEST - _EPOCH) // timedelta(microseconds=1):
            raise ValueError("not the 'nextBefore' of a page")
        return cls(_EPOCH + timedelta(microseconds=int(match[1])), int(match[2]))

    def __str__(self) -> str:
        microseconds = (self.updated_at - _EPOCH) // timedelta(microseconds=1)
        return base64.urlsafe_b64encode(f"{microseconds}.{self.session_id}".encode()).decode()
