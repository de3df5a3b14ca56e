"""Runs as lists show them: a page at a time, newest first."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any

from core.agentscope.schemas.agent_runtime import RunStatusResponse
from core.agentscope.schemas.messages import WireModel

_FORM = re.compile(rb"[1-9][0-9]{0,17}")


class RunListResponse(WireModel):
    """A page of the runs of a thread."""

    runs: list[RunStatusResponse]
    """Each run as ``GET /runs/{runId}`` shows it."""
    next_before: str | None = None
    """``before`` of the next page; null on the last page."""

    def wire(self) -> dict[str, Any]:
        """Return the JSON form; ``nextBefore`` is null when there is no next page."""
        return {"runs": [run.wire() for run in self.runs], "nextBefore": self.next_before}


@dataclass(frozen=True, slots=True)
class RunPlace:
    """Where a page of runs ends: behind the run with this number. Opaque on the wire."""

    number: int

    @classmethod
    def parse(cls, text: str) -> RunPlace:
        """Read a place; ``parse(str(place)) == place``.

        Raises:
            ValueError: The text is no place that a page gave.
        """
        try:
            number = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error) as exc:
            raise ValueError("not the 'nextBefore' of a page") from exc
        if not _FORM.fullmatch(number):
            raise ValueError("not the 'nextBefore' of a page")
        return cls(int(number))

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(str(self.number).encode()).decode()
