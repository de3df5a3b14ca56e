"""A thread for pipes and simple terminals: the agent's text on standard output, everything else on standard error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TextIO

from agentroute.client import (
    CustomEvent,
    Event,
    RunErrorEvent,
    RunFinishedEvent,
    TextMessageContentEvent,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
)
from agentroute.terminal.harmless import harmless
from agentroute.terminal.shown import USER, asked_messages, call_line, calls_of, parts_text, result_text


@dataclass
class PlainView:
    """Writes the agent's text as it comes, and notes beside it.

    Attributes:
        output: Where the agent's text goes.
        notes: Where calls, questions and errors go.
        calls: Name and arguments of the tool calls seen, by id.
    """

    output: TextIO
    notes: TextIO
    calls: dict[str, tuple[str, str]] = field(default_factory=dict)
    _message: str | None = None
    _is_mid_line: bool = False
    _last_wait: str = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_line()

    def see(self, event: Event) -> None:
        """Show the next event of a run."""
        self._last_wait = ""
        match event:
            case TextMessageContentEvent(subagent_run_id=None):
                if self._message not in (None, event.message_id):
                    self._end_line()
                    self.output.write("\n")
                self._message = event.message_id
                self._write(event.delta)
            case ToolCallStartEvent(tool_call_id=id_, tool_call_name=name):
                self.calls[id_] = name, ""
            case ToolCallArgsEvent(tool_call_id=id_, delta=delta) if id_ in self.calls:
                name, arguments = self.calls[id_]
                self.calls[id_] = name, arguments + delta
            case ToolCallEndEvent(tool_call_id=id_) if id_ in self.calls:
                self.note("→ " + call_line(*self.calls[id_]))
            case ToolCallResultEvent(content=content):
                self.note("← " + result_text(content))
            case RunErrorEvent(code=code, message=message):
                self.note(f"{message} ({code})", is_error=True)
            case RunFinishedEvent(outcome=outcome):
                self._end_line()
                self._message = None
                if outcome.type == "cancelled":
                    self.note("Stopped.")
            case CustomEvent(name="agentroute.input", value=value):
                self.show_messages(asked_messages(value))
            case _:
                pass

    def show_messages(self, messages: Iterable[Mapping[str, Any]]) -> None:
        """Show messages that were said before."""
        self._end_line()
        for message in messages:
            text = parts_text(message.get("content"))
            match message.get("role"):
                case "user":
                    self.output.write(harmless(f"{USER}{text}\n"))
                case "assistant":
                    self.output.write(harmless(f"{text}\n") if text else "")
                    for id_, name, arguments in calls_of(message):
                        self.calls[id_] = name, arguments
                        self.note("→ " + call_line(name, arguments))
                case "tool":
                    self.note("← " + result_text(message.get("content")))
                case _:
                    pass
        self.output.flush()

    def note(self, text: str, *, is_error: bool = False) -> None:
        """Say something that the agent does not say."""
        self._end_line()
        self.notes.write(harmless(f"{'error: ' if is_error else ''}{text}\n"))
        self.notes.flush()

    def wait_for(self, what: str) -> None:
        """Say what is waited for, once for each reason."""
        if what != self._last_wait:
            self._last_wait = what
            self.note(what)

    def _write(self, text: str) -> None:
        self.output.write(harmless(text))
        self.output.flush()
        self._is_mid_line = not text.endswith("\n")

    def _end_line(self) -> None:
        if self._is_mid_line:
            self._write("\n")
