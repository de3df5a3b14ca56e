"""The view of terminals, on an emulated one: what is drawn again and again is there once at the end."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

import pyte
import pytest
from rich.console import Console

from agentroute.client import Event
from agentroute.client.events import read_event
from agentroute.terminal.live_view import LiveView

TEXT = (
    """# Report

A paragraph with **bold** text that is longer than one line of the terminal, so that it is broken into two.

- one
- two
  - inner

| a | b |
| - | - |
| 1 | 2 |

```py
"""
    + "\n".join(f"line_{number} = {number}" for number in range(40))
    + """
```

The end.
"""
)


class Screen:
    """An emulated terminal of 60 by 12."""

    def __init__(self) -> None:
        self._file = io.StringIO()
        self.console = Console(file=self._file, force_terminal=True, width=60, height=12, highlight=False)

    def lines(self) -> list[str]:
        """Return the scrollback and the screen."""
        screen = pyte.HistoryScreen(60, 12, history=1000)
        stream = pyte.Stream(screen)
        stream.feed(self._file.getvalue().replace("\n", "\r\n"))
        gone = ["".join(line[x].data for x in range(60)) for line in screen.history.top]
        return "\n".join(line.rstrip() for line in [*gone, *screen.display]).rstrip().split("\n")


def events(*bodies: dict[str, Any]) -> Iterator[Event]:
    return (read_event(body) for body in bodies)


def said(text: str, size: int, message: str = "m", **more: Any) -> list[dict[str, Any]]:
    pieces = [text[place : place + size] for place in range(0, len(text), size)]
    deltas = [
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": message, "delta": piece, **more} for piece in pieces
    ]
    return [
        {"type": "TEXT_MESSAGE_START", "messageId": message, **more},
        *deltas,
        {"type": "TEXT_MESSAGE_END", "messageId": message, **more},
    ]


START = {"type": "RUN_STARTED", "threadId": "t", "runId": "r"}
END = {"type": "RUN_FINISHED", "threadId": "t", "runId": "r"}


def shown(bodies: Iterable[dict[str, Any]]) -> list[str]:
    screen = Screen()
    view = LiveView(screen.console)
    with view:
        for event in events(*bodies):
            view.see(event)
            # The thread that draws is faster than any model in this test.
            assert view._live is not None
            view._live.refresh()
    return screen.lines()


@pytest.mark.parametrize("size", [7, 40])
def test_a_text_that_streams_is_in_the_scrollback_once_as_if_it_had_come_at_once(size: int) -> None:
    streamed = shown([START, *said(TEXT, size), END])
    # Each block stands apart from the next one, also where Markdown leaves no line empty.
    assert [line for line in streamed if line] == [
        line for line in shown([START, *said(TEXT, len(TEXT)), END]) if line
    ]
    text = "\n".join(streamed)
    assert [text.count(f"line_{number} =") for number in (0, 20, 39)] == [1, 1, 1]
    assert text.count("The end.") == 1
    assert "…" not in text


def test_reasoning_calls_results_and_the_end_are_shown() -> None:
    lines = shown(
        [
            START,
            {"type": "STEP_STARTED", "stepName": "intent"},
            {"type": "REASONING_MESSAGE_CONTENT", "messageId": "r", "delta": "Let me "},
            {"type": "REASONING_MESSAGE_CONTENT", "messageId": "r", "delta": "see."},
            {"type": "REASONING_MESSAGE_END", "messageId": "r"},
            {"type": "TOOL_CALL_START", "toolCallId": "c", "toolCallName": "calculate"},
            {"type": "TOOL_CALL_ARGS", "toolCallId": "c", "delta": '{"expression":'},
            {"type": "TOOL_CALL_ARGS", "toolCallId": "c", "delta": '"6*7"}'},
            {"type": "TOOL_CALL_END", "toolCallId": "c"},
            {"type": "TOOL_CALL_RESULT", "messageId": "x", "toolCallId": "c", "content": "42"},
            {"type": "LATER_EVENT"},
            END | {"usage": [{"inputTokens": 1200, "outputTokens": 3}], "outcome": {"type": "cancelled"}},
        ]
    )
    text = "\n".join(lines)
    for part in ("Let me see.", '→ calculate(expression="6*7")\n← 42', "Stopped.", "1,200 tokens in · 3 out"):
        assert text.count(part) == 1, text


def test_what_was_being_said_when_a_run_failed_stays() -> None:
    lines = shown(
        [START, *said("Half of", 3)[:-1], {"type": "RUN_ERROR", "message": "Too slow.", "code": "x"}]
    )
    assert [line for line in lines if line] == ["Half of", "Too slow. (x)"]


def test_several_speakers_do_not_mix_their_texts() -> None:
    one, two = said("One says this.", 4), said("Two says that.", 4, "n", subagentRunId="s")
    mixed = [body for pair in zip(one, two, strict=True) for body in pair]
    lines = shown([START, *mixed, END])
    assert [line for line in lines if line] == ["One says this.", "Two says that."]


def test_earlier_messages_are_shown() -> None:
    screen = Screen()
    view = LiveView(screen.console)
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"x":1}'}}
    view.show_messages(
        [
            {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image"}]},
            {"role": "assistant", "content": "", "toolCalls": [call]},
            {"role": "tool", "content": "a\nb", "toolCallId": "c"},
            {"role": "assistant", "content": "Done \x1b[2J."},
            {"role": "activity", "content": {}},
        ]
    )
    assert view.calls == {"c": ("look", '{"x":1}')}
    assert [line for line in screen.lines() if line] == [
        "\u203a see",
        "[image]",
        "→ look(x=1)",
        "← a",
        "  b",
        "Done \\x1b[2J.",
    ]
