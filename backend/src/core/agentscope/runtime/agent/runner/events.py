"""What a runner may yield beside texts and AgentScope's events: the public events of ``agentroute.agents``. Plain data.

The names are stable. What a runner yields is checked in ``yields.py``.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

ToolState = Literal["success", "error", "denied", "interrupted"]


def _approval() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"approved": {"type": "boolean"}},
        "required": ["approved"],
        "additionalProperties": False,
    }


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer. A plain string is the same. Pieces that follow each other are one message."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A piece of what the agent thinks. It is shown, and kept in history; the next run's model does not see it."""

    text: str


@dataclass(frozen=True, slots=True)
class MessageEnd:
    """Ends the message. The next text begins another one."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a ``ToolCall`` that this run has yielded. A call has one result."""

    tool_call_id: str
    content: Any
    """Text as it is; anything else as JSON."""
    state: ToolState = "success"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call of the runner itself.

    When the ``yield`` returns, the call is durable: act then, and yield ``call.result(...)``. A call of one of the
    client's tools is the client's to make: end the runner, and the next run has its result in ``run.results``. A call
    that is left without a result gets one that says so.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: f"call-{uuid.uuid4().hex}")
    """Unique in the thread."""

    def result(self, content: Any, state: ToolState = "success") -> ToolResult:
        """Return the result of this call."""
        return ToolResult(self.id, content, state)


@dataclass(frozen=True, slots=True)
class ToolProgress:
    """How far an open tool call is."""

    tool_call_id: str
    message: str = ""
    progress: float | None = None
    total: float | None = None


@dataclass(frozen=True, slots=True)
class Interrupt:
    """A question to the user. The run waits for the answer when the runner has ended.

    The runner is then called again, perhaps days later in another worker, with the answer in ``run.answers[id]``. A
    runner may ask several questions; the user answers all of them at once.
    """

    id: str
    """The runner's own name of the question."""
    message: str
    """What the user reads."""
    response_schema: Mapping[str, Any] = field(default_factory=_approval)
    """JSON Schema of the answer; a yes or no (``{"approved": true}``) if there is none."""
    reason: str = "question"
    """What kind of question it is, for the client."""


@dataclass(frozen=True, slots=True)
class StatePatch:
    """A change of the state that the application shares (RFC 6902 operations), all of them or none."""

    operations: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class StateSnapshot:
    """The whole state that the application shares, as it is from now on."""

    value: Any


@dataclass(frozen=True, slots=True)
class Custom:
    """An event of your own, as ``CUSTOM``. Names that begin with ``agentroute.`` are taken."""

    name: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class Step:
    """The name of what comes next. A step ends with the next one, or with the run."""

    name: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to an ``Interrupt``: an entry of ``run.answers``."""

    status: Literal["resolved", "cancelled"]
    """``cancelled``: the user did not want to answer, or wrote a new message instead."""
    value: Any = None
    """What the user answered. It fits the schema of the question."""

    @property
    def approved(self) -> bool:
        """Whether the answer to a yes or no is a yes."""
        return (
            self.status == "resolved" and isinstance(self.value, dict) and self.value.get("approved") is True
        )
