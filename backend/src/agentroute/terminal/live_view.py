"""A thread in a terminal. What is finished is printed once and scrolls; only what still grows is drawn again.

So the scrollback has every line once, and a line never changes that has left the screen.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markdown import Markdown
from rich.padding import Padding
from rich.spinner import Spinner
from rich.text import Text

from agentroute.client import (
    CustomEvent,
    Event,
    ReasoningMessageContentEvent,
    ReasoningMessageEndEvent,
    RunErrorEvent,
    RunFinishedEvent,
    RunStartedEvent,
    StepStartedEvent,
    SubagentErrorEvent,
    SubagentStartedEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
)
from agentroute.terminal.harmless import Harmless
from agentroute.terminal.markdown_blocks import finished_length
from agentroute.terminal.shown import (
    USER,
    asked_messages,
    call_line,
    calls_of,
    parts_text,
    result_text,
    usage_line,
)

_FRAMES_A_SECOND = 12
_CODE = "ansi_dark"
"""The colours of the terminal, on its own background."""


@dataclass
class _Growing:
    """Something that is being said."""

    kind: str
    text: str = ""
    name: str = ""


@dataclass
class LiveView:
    """Shows a thread in a terminal.

    Attributes:
        calls: Name and arguments of the tool calls seen, by id.
    """

    console: Console
    calls: dict[str, tuple[str, str]] = field(default_factory=dict)
    _growing: dict[tuple[str, str], _Growing] = field(default_factory=dict)
    _status: str = ""
    _waits_for: str = ""
    _live: Live | None = None
    _began_at: float = 0.0

    def __enter__(self) -> Self:
        self._status = "connecting"
        self._live = Live(
            self._tail(),
            console=self.console,
            refresh_per_second=_FRAMES_A_SECOND,
            transient=True,
            vertical_overflow="visible",
        )
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish_all()
        if self._live is not None:
            self._live.update(Text(""))
            self._live.stop()
            self._live = None

    # --- what is shown -------------------------------------------------------

    def see(self, event: Event) -> None:
        """Show the next event of a run."""
        self._waits_for = ""
        match event:
            case RunStartedEvent():
                self._began_at = time.monotonic()
                self._status = "thinking"
            case StepStartedEvent(step_name=name):
                self._status = name
            case TextMessageContentEvent() | ReasoningMessageContentEvent():
                self._grow(event)
            case TextMessageEndEvent(message_id=id_):
                self._finish("text", id_)
            case ReasoningMessageEndEvent(message_id=id_):
                self._finish("reasoning", id_)
            case ToolCallStartEvent() | ToolCallArgsEvent() | ToolCallEndEvent() | ToolCallResultEvent():
                self._see_call(event)
            case SubagentStartedEvent(name=name, description=description):
                self._print(Text(f"↳ {name}: {description or 'begins'}", "dim"))
            case SubagentErrorEvent(message=message):
                self._print(Text(f"↳ {message}", "red"))
            case RunFinishedEvent() | RunErrorEvent():
                self._end(event)
            case CustomEvent():
                self._custom(event)
            case _:
                pass
        self._draw()

    def show_messages(self, messages: Iterable[Mapping[str, Any]]) -> None:
        """Show messages that were said before."""
        for message in messages:
            text = parts_text(message.get("content"))
            match message.get("role"):
                case "user":
                    self._print(Text(USER + text, "bold cyan"))
                case "assistant":
                    if text:
                        self._print(_markdown(text))
                    for id_, name, arguments in calls_of(message):
                        self.calls[id_] = name, arguments
                        # Without arguments it is still being written: its events follow.
                        if arguments:
                            self._print_call(name, arguments)
                case "tool":
                    self._print_result(message.get("content"))
                case "reasoning" if text:
                    self._print(Text(text, "dim italic"))
                case _:
                    pass

    def note(self, text: str, *, is_error: bool = False) -> None:
        """Say something that the agent does not say."""
        self._print(Text(text, "red" if is_error else "dim"))

    def wait_for(self, what: str) -> None:
        """Say what is waited for, until the next event."""
        self._waits_for = what
        self._draw()

    # --- what grows ----------------------------------------------------------

    def _grow(self, event: TextMessageContentEvent | ReasoningMessageContentEvent) -> None:
        kind = "text" if isinstance(event, TextMessageContentEvent) else "reasoning"
        item = self._growing.setdefault((kind, event.message_id), _Growing(kind))
        item.text += event.delta
        # Several speak at once when there are subagents: then each says its message as a whole.
        if kind == "text" and len(self._growing) == 1 and "\n" in event.delta:
            end = finished_length(item.text)
            if end:
                self._print(_markdown(item.text[:end]))
                item.text = item.text[end:]

    def _finish(self, kind: str, id_: str) -> None:
        item = self._growing.pop((kind, id_), None)
        if item is not None and item.text.strip():
            self._print(_shown(item))

    def _finish_all(self) -> None:
        for kind, id_ in list(self._growing):
            self._finish(kind, id_)

    def _see_call(
        self, event: ToolCallStartEvent | ToolCallArgsEvent | ToolCallEndEvent | ToolCallResultEvent
    ) -> None:
        place = ("call", event.tool_call_id)
        match event:
            case ToolCallStartEvent(tool_call_name=name):
                self._growing[place] = _Growing("call", name=name)
            case ToolCallArgsEvent(delta=delta):
                if place in self._growing:
                    self._growing[place].text += delta
            case ToolCallEndEvent(tool_call_id=id_):
                if (call := self._growing.pop(place, None)) is not None:
                    self.calls[id_] = call.name, call.text
                    self._print_call(call.name, call.text)
                    self._status = call.name
            case ToolCallResultEvent(content=content):
                self._print_result(content)
                self._status = "thinking"

    def _custom(self, event: CustomEvent) -> None:
        value: Mapping[str, Any] = event.value if isinstance(event.value, Mapping) else {}
        match event.name:
            case "agentroute.retrying":
                self.wait_for(f"the model did not answer ({value.get('code')}), trying again")
            case "agentroute.tool-progress":
                self.wait_for(str(value.get("message") or "working"))
            case "agentroute.history" if value.get("hasMore"):
                self.note("… there are older messages")
            case "agentroute.input":
                self.show_messages(asked_messages(event.value))
            case _:
                pass

    def _end(self, event: RunFinishedEvent | RunErrorEvent) -> None:
        self._finish_all()
        self._status = ""
        if isinstance(event, RunErrorEvent):
            self._print(Text(f"{event.message} ({event.code})", "red"))
            return
        if event.outcome.type == "cancelled":
            self._print(Text("Stopped.", "yellow"))
        if event.outcome.type == "interrupt":
            return
        seconds = time.monotonic() - self._began_at if self._began_at else None
        if told := usage_line(event.usage, seconds):
            self._print(Text(told, "dim"))
        self._began_at = 0.0

    # --- below ---------------------------------------------------------------

    def _print_call(self, name: str, arguments: str) -> None:
        self._print(Text(f"→ {call_line(name, arguments)}", "magenta"))

    def _print_result(self, content: Any) -> None:
        lines = result_text(content).split("\n")
        self._print(Text("\n".join(["← " + lines[0], *("  " + line for line in lines[1:])]), "dim"), gap=0)

    def _print(self, shown: RenderableType, *, gap: int = 1) -> None:
        self.console.print(Harmless(Padding(shown, (gap, 0, 0, 0))), end="")

    def _draw(self) -> None:
        if self._live is not None:
            self._live.update(self._tail())

    def _tail(self) -> RenderableType:
        # A copy: Ctrl-C is told by another thread.
        shown: list[RenderableType] = [
            Padding(_shown(item), (1, 0, 0, 0)) for item in list(self._growing.values())
        ]
        if status := self._waits_for or ("" if shown else self._status):
            shown.append(Padding(Spinner("dots", Text(f" {status} …", "dim")), (1, 0, 0, 0)))
        # What is higher than the screen cannot be drawn again. Its start comes when it is finished.
        return Harmless(Group(*shown), last_lines=max(3, self.console.height - 2))


class _Later:
    """Markdown that is parsed when it is drawn, not at each delta."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich__(self) -> Markdown:
        return _markdown(self._text)


def _shown(item: _Growing) -> RenderableType:
    match item.kind:
        case "text":
            return _Later(item.text)
        case "reasoning":
            return Text(item.text.strip(), "dim italic")
        case _:
            return Text(f"→ {call_line(item.name, item.text)}", "magenta")


def _markdown(text: str) -> Markdown:
    # Without links of the terminal: the address is shown, as it is.
    return Markdown(text, code_theme=_CODE, hyperlinks=False)
