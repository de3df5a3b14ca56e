"""The scenarios of ``contract/``: what an app asks a service with the scripted demo model, and how it goes on."""

from __future__ import annotations

from collections.abc import Callable

import httpx
from tests.support.contract_recorder import Json, Recorder
from tests.support.recorded_conversations import COLOUR

_APPROVED: Json = {"status": "resolved", "payload": {"approved": True}}
_CALL_COLOUR = 'call the tool choose_colour with {"prompt": "Which?"}'
_LONG = "slowly say something about " + "a long sentence with many words, " * 20


def plain_chat(app: Recorder) -> None:
    """Three turns of text."""
    app.run("hello")
    app.run("my name is Ada")
    app.run("what is my name?")
    app.history()


def long_text(app: Recorder) -> None:
    """A long answer, in many pieces."""
    app.run("say something about " + "a long sentence with many words, " * 10)
    app.history()


def reasoning_and_tools(app: Recorder) -> None:
    """Reasoning, a call, a call that fails, and text."""
    app.run("think about it and calculate 6*7 and then calculate 1/0 and then say goodbye")
    app.history()


def parallel_calls(app: Recorder) -> None:
    """Two calls of one message."""
    app.run("calculate 6*7 and also calculate 7*8")
    app.history()


def approval_approved(app: Recorder) -> None:
    """A call that the user allows."""
    asked = app.run("remember that I like tea")
    app.history()
    app.resume(asked, **_APPROVED)
    app.history()


def approval_declined(app: Recorder) -> None:
    """A call that the user does not allow, and one whose question is dismissed."""
    asked = app.run("remember that I like tea")
    app.resume(asked, status="resolved", payload={"approved": False})
    asked = app.run("remember that I like coffee")
    app.resume(asked, status="cancelled")
    app.history()


def approval_edited(app: Recorder) -> None:
    """A call that is made with other arguments."""
    asked = app.run("remember that I like tea")
    app.resume(asked, status="resolved", payload={"approved": True, "input": {"text": "I like jam"}})
    app.history()


def approval_overtaken(app: Recorder) -> None:
    """Something new instead of an answer."""
    app.run("remember that I like tea")
    app.run("hello", forwardedProps={"onInterrupt": "cancel"})
    app.history()


def client_tool(app: Recorder) -> None:
    """A tool of the app's own, beside one of the service's."""
    events = app.run(f"calculate 6*7 and also {_CALL_COLOUR}", tools=[COLOUR])
    [call_id] = events[-1]["outcome"]["pendingToolCallIds"]
    result = {"id": "result-of-the-app", "role": "tool", "toolCallId": call_id, "content": "blue"}
    app.run(messages=[result], tools=[COLOUR])
    app.history()


def shared_state(app: Recorder) -> None:
    """State from the app, a change by the agent, and no state."""
    patch = '{"operations": [{"op": "add", "path": "/colour", "value": "blue"}]}'
    app.run(f"call the tool update_state with {patch}", state={"n": 1, "a/b~c": [1, 2.5, None]})
    app.history()
    app.run("hello", state={"n": 2, "deep": {"list": [True, 1, "1"]}})
    app.history()


def subagent(app: Recorder) -> None:
    """A call that a subagent answers with a call of its own."""
    app.run('call the tool researcher with {"task": "calculate 6*7"} and then say goodbye')
    app.history()


def cancelled(app: Recorder) -> None:
    """A run that is stopped in the middle of its text, and one after it."""
    with app.open(_LONG) as stream:
        app.cut(stream.until("TEXT_MESSAGE_CONTENT"))
        app.cancel(stream.told[0].event["runId"])
    app.history()
    app.run("hello")
    app.history()


def failed(app: Recorder) -> None:
    """A model that is not there, one that breaks off, one that says too much, a subagent that fails, and an answer."""
    for way in ("503", "mid", "length"):
        app.run(f"fail {way}")
    app.run('call the tool researcher with {"task": "fail mid"}')
    app.run("hello")
    app.history()


def superseded(app: Recorder) -> None:
    """A run that stops because the app starts another one."""
    with app.open("fail hang") as stream:
        stream.until("STEP_STARTED")
        body = app.post("hello", forwardedProps={"onBusy": "supersede"})
    app.events(body)
    app.history()


def regenerated(app: Recorder) -> None:
    """An edited message replaces the last one, with its answer."""
    app.run("hello")
    replaced = app.body("calculate 6*7")
    with app.open(body=replaced):
        pass
    regenerate = {"regenerateFrom": replaced["messages"][0]["id"]}
    app.run("calculate 6*8", forwardedProps=regenerate)
    app.history()


def answered_again(app: Recorder) -> None:
    """The same message is answered once more."""
    body = app.body("hello")
    with app.open(body=body):
        pass
    app.run("calculate 6*7")
    app.run(forwardedProps={"regenerateFrom": body["messages"][0]["id"]})
    app.history()


def imported(app: Recorder) -> None:
    """A conversation from elsewhere, with a picture."""
    picture = {"type": "image", "source": {"type": "data", "value": "AA==", "mimeType": "image/png"}}
    app.run(
        messages=[
            {"id": "e-1", "role": "user", "content": "my name is Ada"},
            {"id": "e-2", "role": "assistant", "content": "Nice to meet you."},
            {"id": "e-3", "role": "user", "content": [{"type": "text", "text": "what is my name?"}, picture]},
        ]
    )
    app.history()


def client_before_1_0(app: Recorder) -> None:
    """An app that names no version of the protocol, and gets the older vocabulary."""
    older: Json = {"tools": [COLOUR], "protocolVersion": None}
    app.run("think about it", **older)
    app.run('call the tool researcher with {"task": "calculate 6*7"}', **older)
    with app.open(_LONG, **older) as stream:
        app.cut(stream.until("TEXT_MESSAGE_CONTENT"))
        app.cancel(stream.told[0].event["runId"])
    app.run(_CALL_COLOUR, **older)
    app.history()


def behind(app: Recorder) -> None:
    """An app that lacks messages of the thread gets them all: two snapshots."""
    app.ended(app.post("think about 6 and calculate 6*7"))
    app.run("hello", forwardedProps={"messagesSnapshot": None})
    app.history()


def follower(app: Recorder) -> None:
    """Another device: history, then every run of the thread, with what it was asked, and with what replaces it."""
    app.ended(app.post("hello"))
    cursor = app.history(holds="nothing")["cursor"]
    replaced = app.post("calculate 6*7")
    app.ended(replaced)
    regenerate = {"regenerateFrom": replaced["messages"][0]["id"]}
    edited = app.post("calculate 6*8", forwardedProps=regenerate)
    app.ended(edited)
    app.ended(app.post(forwardedProps={"regenerateFrom": edited["messages"][0]["id"]}))
    app.ended(app.post("remember that I like tea"))
    app.follow(cursor, runs=4)
    app.history()


def connect_before(app: Recorder) -> None:
    """A thread that nobody has begun."""
    with app.connect():
        pass
    app.run("hello")
    app.history()


def connect_after(app: Recorder) -> None:
    """A reload when the last run has ended."""
    app.ended(app.post("think about 6 and calculate 6*7", state={"n": 1}))
    with app.connect():
        pass
    app.history()
    app.run("hello")
    app.history()


def connect_interrupted(app: Recorder) -> None:
    """A reload while a question is open, and its answer."""
    app.ended(app.post("remember that I like tea"))
    with app.connect() as stream:
        pass
    app.history()
    app.resume([told.event for told in stream.told], **_APPROVED)
    app.history()


def connect_midway(app: Recorder) -> None:
    """A reload in the middle of a text."""
    body = app.post(_LONG)
    app.begun(body)
    with app.connect() as stream:
        app.cut(stream.until("TEXT_MESSAGE_CONTENT", is_live=True))
        app.cancel(body["runId"])
    app.history()


def connect_newest(app: Recorder) -> None:
    """A reload that begins with the newest messages, and the page before them."""
    app.run("hello")
    app.run("calculate 6*7")
    with app.connect(limit=2) as stream:
        pass
    [older] = [told.event["value"] for told in stream.told if told.event["type"] == "CUSTOM"]
    app.older(older["nextBefore"])
    app.history()


Scenario = Callable[[Recorder], None]
ALL: dict[str, Scenario] = {
    scenario.__name__.replace("_", "-"): scenario
    for scenario in (
        plain_chat,
        long_text,
        reasoning_and_tools,
        parallel_calls,
        approval_approved,
        approval_declined,
        approval_edited,
        approval_overtaken,
        client_tool,
        shared_state,
        subagent,
        cancelled,
        failed,
        superseded,
        regenerated,
        answered_again,
        imported,
        client_before_1_0,
        behind,
        follower,
        connect_before,
        connect_after,
        connect_interrupted,
        connect_midway,
        connect_newest,
    )
}
"""Scenarios by the names of their vectors."""


def record(http: httpx.Client, name: str) -> Json:
    """Record a scenario with the service of a client; returns its vector, without states."""
    scenario = ALL[name]
    app = Recorder(http, name, scenario.__doc__ or "")
    scenario(app)
    return app.vector
