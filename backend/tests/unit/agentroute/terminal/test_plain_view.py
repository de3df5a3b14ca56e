"""The view of pipes: the agent's text and nothing else on standard output."""

from __future__ import annotations

import io

from agentroute.client.events import read_event
from agentroute.terminal.plain_view import PlainView

EVENTS = [
    {"type": "RUN_STARTED", "threadId": "t", "runId": "r"},
    {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "Let me "},
    {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "see\x1b[2J."},
    {"type": "TEXT_MESSAGE_CONTENT", "messageId": "s", "delta": "Aside.", "subagentRunId": "s-1"},
    {"type": "TOOL_CALL_START", "toolCallId": "c", "toolCallName": "look"},
    {"type": "TOOL_CALL_ARGS", "toolCallId": "c", "delta": '{"x":1}'},
    {"type": "TOOL_CALL_END", "toolCallId": "c"},
    {"type": "TOOL_CALL_RESULT", "messageId": "x", "toolCallId": "c", "content": "seen"},
    {"type": "TEXT_MESSAGE_CONTENT", "messageId": "n", "delta": "Done."},
]


def test_text_goes_to_the_pipe_and_the_rest_beside_it() -> None:
    output, notes = io.StringIO(), io.StringIO()
    with PlainView(output, notes) as view:
        for body in EVENTS:
            view.see(read_event(body))
        view.wait_for("reconnecting")
        view.wait_for("reconnecting")
        view.see(read_event({"type": "RUN_ERROR", "code": "c", "message": "Too slow."}))
    assert output.getvalue() == "Let me see\\x1b[2J.\n\nDone.\n"
    assert notes.getvalue() == "→ look(x=1)\n← seen\nreconnecting\nerror: Too slow. (c)\n"


def test_what_another_device_asked_is_shown() -> None:
    output, notes = io.StringIO(), io.StringIO()
    view = PlainView(output, notes)
    asked = {"messages": [{"role": "user", "content": "why"}, {"role": "assistant", "content": "so"}]}
    view.see(read_event({"type": "CUSTOM", "name": "agentroute.input", "value": asked}))
    view.see(read_event({"type": "CUSTOM", "name": "agentroute.input", "value": 3}))
    assert output.getvalue() == "\u203a why\nso\n"
