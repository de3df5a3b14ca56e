"""What a run has come to, event by event. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentroute.client.errors import RunFailed
from agentroute.client.events import (
    Event,
    Interrupt,
    Outcome,
    RunErrorEvent,
    RunFinishedEvent,
    TextMessageContentEvent,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run ended."""

    thread_id: str
    run_id: str
    text: str
    """Everything that the agent said in the run, its messages separated by empty lines. Without its subagents."""
    outcome: Outcome = field(default_factory=Outcome)
    usage: tuple[Mapping[str, Any], ...] = ()
    """Tokens by provider and model."""

    @property
    def interrupts(self) -> tuple[Interrupt, ...]:
        """The questions that ``resume()`` has to answer, all of them."""
        return self.outcome.interrupts

    @property
    def pending_tool_call_ids(self) -> tuple[str, ...]:
        """The calls of your own tools that wait for ``tool_result()``."""
        return self.outcome.pending_tool_call_ids


class RunRecord:
    """Collects what ``RunResult`` tells."""

    def __init__(self, thread_id: str, run_id: str) -> None:
        self._thread_id = thread_id
        self._run_id = run_id
        self._texts: dict[str, list[str]] = {}
        self._end: Event | None = None

    @property
    def text(self) -> str:
        """What the agent has said so far."""
        return "\n\n".join("".join(pieces) for pieces in self._texts.values())

    def see(self, event: Event) -> None:
        """Take in the next event of the run."""
        match event:
            case TextMessageContentEvent(subagent_run_id=None):
                self._texts.setdefault(event.message_id, []).append(event.delta)
            case RunFinishedEvent() | RunErrorEvent():
                self._end = event
            case _:
                pass

    def result(self) -> RunResult:
        """Return how the run ended.

        Raises:
            RunFailed: It ended with ``RUN_ERROR``.
            RuntimeError: Its stream was closed before its end.
        """
        match self._end:
            case RunErrorEvent(code=code, message=message):
                raise RunFailed(code, message, thread_id=self._thread_id, run_id=self._run_id)
            case RunFinishedEvent(outcome=outcome, usage=usage):
                return RunResult(
                    thread_id=self._thread_id,
                    run_id=self._run_id,
                    text=self.text,
                    outcome=outcome,
                    usage=usage,
                )
            case _:
                raise RuntimeError("the stream was closed before the end of the run")
