"""Recorded conversations: what clients of the whole service sent, and what they got.

Each conversation is a function that talks through a ``Talk``, which keeps every answer. Two recordings of one
conversation are equal when the service says the same: generated ids are named in the order of their first
appearance, times are left out, and the deltas of a message are joined, since their number depends on time.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.comparable import Names, joined
from tests.support.stack import EventStream, Reply, Stack, Web, eventually

CONVERSATIONS = Path(__file__).parents[1] / "recorded" / "conversations"
PROFILE = """
name = "Assistant"
description = "Answers questions."

[stages]
intent = "model"

[[tools]]
name = "calculate"
permission = "allow"

[[tools]]
name = "fetch_url"
permission = "ask"

[[tools]]
name = "remember"
permission = "ask"

[[tools]]
name = "recall"
permission = "allow"

[[tools]]
name = "update_state"
permission = "allow"

[[subagents]]
name = "researcher"
description = "Answers one question."
prompt = "Answer the question."
tools = ["calculate"]
"""
COLOUR = {
    "name": "choose_colour",
    "description": "Lets the user choose a colour.",
    "parameters": {"type": "object", "properties": {"prompt": {"type": "string"}}, "required": ["prompt"]},
}


class Talk:
    """One user's conversation in one thread; ``steps`` is what a recording of it holds."""

    def __init__(self, stack: Stack, web: Web, name: str) -> None:
        self.stack = stack
        self.web = web
        self.thread = name
        self.user = f"user of {name}"
        self.steps: list[dict[str, Any]] = []
        self._runs = 0
        self._names = Names(
            {
                web.url: "http://web.test",
                web.host: "web.test",
                stack.demo.url: "http://model.test/v1",
            }
        )

    def body(self, text: str | None = None, **members: Any) -> dict[str, Any]:
        """Return the request of the thread's next run."""
        self._runs += 1
        run = f"{self.thread}-{self._runs}"
        return self.stack.run_body(text, **{"thread": self.thread, "run": run, **members})

    async def run(self, text: str | None = None, **members: Any) -> Reply:
        """Run to the end of the stream."""
        reply = await self.stack.stream_run(body=self.body(text, **members), user=self.user)
        return self._keep("run", reply)

    async def resume(self, parked: Reply, answer: dict[str, Any], **members: Any) -> Reply:
        """Give the same answer to every interrupt of a run."""
        answers = [{"interruptId": interrupt["id"], **answer} for interrupt in parked.interrupts]
        body = self.body(resume=answers, **members)
        return self._keep("resume", await self.stack.stream_run(body=body, path="/resume", user=self.user))

    async def post(self, text: str | None = None, **members: Any) -> Reply:
        """Run without a stream."""
        return self._keep("post", await self.stack.post_run(body=self.body(text, **members), user=self.user))

    async def cancel(self, run: str) -> Reply:
        return self._keep("cancel", await self.stack.cancel(self.thread, run, user=self.user))

    async def events(self, run: str) -> Reply:
        return self._keep("events", await self.stack.read_events(self.thread, run, user=self.user))

    @asynccontextmanager
    async def open(self, text: str | None = None, **members: Any) -> AsyncIterator[tuple[EventStream, str]]:
        """Start a run and yield its stream and id; the stream is kept to its end."""
        body = self.body(text, **members)
        async with self.stack.open_run(body=body, user=self.user) as stream:
            yield stream, body["runId"]
            await stream.to_end()
        response = stream.response
        self._keep("run", Reply(response.status_code, response.headers, stream.body, stream.frames))

    async def hit(self, path: str) -> None:
        """Wait until a tool asks the web site for a path."""

        async def seen() -> bool:
            return path in self.web.hits

        await eventually(seen)

    @asynccontextmanager
    async def hanging(self, **members: Any) -> AsyncIterator[str]:
        """Start a run that waits for its model until it is cancelled; yields its id."""
        before = len(self.stack.demo.asked("fail hang"))

        async def asked() -> bool:
            # The intent, and the answer that never comes.
            return len(self.stack.demo.asked("fail hang")) == before + 2

        async with self.open("fail hang", **members) as (_, run):
            await eventually(asked)
            yield run

    async def ended(self) -> None:
        """Wait until every run has ended, and keep what all other routes say of the thread."""
        runs = await self.stack.ended(self.thread)
        await self._get("/history", threadId=self.thread, limit="200")
        for run in sorted({run["run_id"] for run in runs}):
            await self._get(f"/runs/{run}", threadId=self.thread)
        await self._get("/threads")
        usage = await self.stack.request("GET", "/usage", user=self.user)
        # What is stored is counted to the byte, also of what differs from one recording to the next.
        left_out = {"from", "to", "rows", "stored"}
        totals = {name: value for name, value in usage.json.items() if name not in left_out}
        self.steps.append({"step": "/usage", "status": usage.status, "body": self._names.plain(totals)})

    async def _get(self, path: str, **params: str) -> None:
        self._keep(path, await self.stack.request("GET", path, user=self.user, params=params))

    def _keep(self, step: str, reply: Reply) -> Reply:
        kept: dict[str, Any] = {"step": step, "status": reply.status}
        if reply.headers["content-type"].startswith("text/event-stream"):
            told = joined((int(frame.id.split("-")[0]), frame.event) for frame in reply.frames)
            kept["frames"] = [self._names.plain(event) for event in told]
        elif reply.status < 400:
            kept["body"] = self._names.plain(reply.json)
        else:
            # A problem's sentences are for people, and may change.
            kept["body"] = {name: reply.json[name] for name in ("type", "code", "status", "retryable")}
        self.steps.append(kept)
        return reply


# --- the conversations -------------------------------------------------------------------


async def plain_chat(talk: Talk) -> None:
    await talk.run("hello")
    await talk.run("my name is Ada")
    await talk.run("what is my name?")


async def long_text(talk: Talk) -> None:
    await talk.run("help")
    await talk.run("say something about " + "a long sentence with many words, " * 40)


async def reasoning_and_tools(talk: Talk) -> None:
    await talk.run("think about it and calculate 6*7 and then calculate 1/0 and then say goodbye")
    await talk.run("hello", messages=[{"id": "only", "role": "user", "content": "hello"}])


async def approval_approved(talk: Talk) -> None:
    parked = await talk.run("remember that I like tea")
    await talk.run("and now?")
    await talk.resume(parked, {"status": "resolved", "payload": {"approved": "yes"}})
    await talk.resume(parked, {"status": "resolved", "payload": {"approved": True}})
    await talk.resume(parked, {"status": "resolved", "payload": {"approved": True}})
    await talk.run("what do you remember")


async def approval_declined(talk: Talk) -> None:
    parked = await talk.run("remember that I like tea")
    await talk.resume(parked, {"status": "resolved", "payload": {"approved": False}})
    again = await talk.run("remember that I like coffee")
    await talk.resume(again, {"status": "cancelled"})
    await talk.run("what do you remember")


async def approval_edited(talk: Talk) -> None:
    parked = await talk.run(f"fetch {talk.web.url}/as-asked")
    edited = {"url": f"{talk.web.url}/as-edited"}
    await talk.resume(parked, {"status": "resolved", "payload": {"approved": True, "input": edited}})


async def approval_overtaken(talk: Talk) -> None:
    await talk.run(f"fetch {talk.web.url}/overtaken")
    await talk.run("hello", forwardedProps={"onInterrupt": "cancel"})


async def client_tool(talk: Talk) -> None:
    asked = await talk.run('call the tool choose_colour with {"prompt": "Which?"}', tools=[COLOUR])
    [call] = asked.of("TOOL_CALL_START")
    answer = {"id": "answer", "role": "tool", "toolCallId": call["toolCallId"], "content": "blue"}
    await talk.run(messages=[answer], tools=[COLOUR])


async def client_before_1_0(talk: Talk) -> None:
    older: dict[str, Any] = {"tools": [COLOUR], "protocolVersion": None}
    await talk.run("hello", **older)
    await talk.run('call the tool choose_colour with {"prompt": "Which?"}', **older)
    await talk.run('call the tool researcher with {"task": "calculate 6*7"}', **older)
    async with talk.hanging(**older) as run:
        await talk.cancel(run)
    parked = await talk.run("remember that I like tea", **older)
    await talk.resume(parked, {"status": "resolved", "payload": {"approved": True}}, **older)


async def cancelled(talk: Talk) -> None:
    parked = await talk.run(f"fetch {talk.web.url}/hang-recorded")
    [interrupt] = parked.interrupts
    answer = {"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": True}}
    async with talk.open(resume=[answer]) as (_, run):
        await talk.hit("/hang-recorded")
        await talk.cancel(run)
    await talk.cancel(run)
    async with talk.hanging() as run:
        await talk.cancel(run)
    open_question = await talk.run("remember that I like tea")
    await talk.cancel(f"{talk.thread}-4")
    await talk.resume(open_question, {"status": "resolved", "payload": {"approved": True}})
    await talk.run("hello")


async def failed(talk: Talk) -> None:
    for way in ("503", "429", "400", "intent", "mid", "chunk", "error", "empty", "length", "filter"):
        await talk.run(f"fail {way}")
    await talk.run("hello")


async def busy(talk: Talk) -> None:
    async with talk.hanging() as run:
        await talk.run("hello")
        await talk.post("say bravo", forwardedProps={"onBusy": "enqueue"})
        await talk.post("say charlie", forwardedProps={"onBusy": "enqueue"}, state={"v": 2})
        await talk.cancel(run)
    await talk.events(f"{talk.thread}-3")
    await talk.events(f"{talk.thread}-4")


async def superseded(talk: Talk) -> None:
    async with talk.hanging(state={"v": 1}):
        await talk.post("hello", forwardedProps={"onBusy": "supersede"})
    await talk.events(f"{talk.thread}-2")


async def subagent(talk: Talk) -> None:
    await talk.run('call the tool researcher with {"task": "calculate 6*7"} and then say goodbye')


async def state(talk: Talk) -> None:
    patch = '{"operations": [{"op": "add", "path": "/colour", "value": "blue"}]}'
    await talk.run(f"call the tool update_state with {patch}", state={"n": 1})
    await talk.run("hello", state={"n": 2, "deep": {"list": [1, 2.5, None]}})
    await talk.run("hello", state=None, forwardedProps={"messagesSnapshot": "always"})


async def replaced(talk: Talk) -> None:
    await talk.run("hello")
    second = talk.body("calculate 6*7")
    await talk.run(messages=second["messages"], run=second["runId"])
    message = {"id": "edited", "role": "user", "content": "calculate 6*8"}
    regenerate = {"regenerateFrom": second["messages"][0]["id"]}
    await talk.run(messages=[message], forwardedProps=regenerate)


async def imported(talk: Talk) -> None:
    picture = {"type": "image", "source": {"type": "data", "value": "AA==", "mimeType": "image/png"}}
    earlier = [
        {"id": "e-1", "role": "user", "content": "my name is Ada"},
        {"id": "e-2", "role": "assistant", "content": "Nice to meet you."},
        {"id": "e-3", "role": "user", "content": [{"type": "text", "text": "what is my name?"}, picture]},
    ]
    await talk.run(messages=earlier)
    repeat = talk.body("hello")
    await talk.run(messages=repeat["messages"], run=repeat["runId"])
    await talk.run(messages=repeat["messages"], run=repeat["runId"])
    await talk.run("something else", run=repeat["runId"])


Conversation = Callable[[Talk], Awaitable[None]]
ALL: dict[str, Conversation] = {
    "plain-chat": plain_chat,
    "long-text": long_text,
    "reasoning-and-tools": reasoning_and_tools,
    "approval-approved": approval_approved,
    "approval-declined": approval_declined,
    "approval-edited": approval_edited,
    "approval-overtaken": approval_overtaken,
    "client-tool": client_tool,
    "client-before-1-0": client_before_1_0,
    "cancelled": cancelled,
    "failed": failed,
    "busy": busy,
    "superseded": superseded,
    "subagent": subagent,
    "state": state,
    "replaced": replaced,
    "imported": imported,
}
"""Conversations by the name of their thread, their runs and their file."""


def recorded(name: str) -> list[str]:
    """Return the lines of a recording."""
    return (CONVERSATIONS / f"{name}.json").read_text().splitlines()


def record(name: str, lines: list[str]) -> None:
    """Write a recording."""
    CONVERSATIONS.mkdir(parents=True, exist_ok=True)
    (CONVERSATIONS / f"{name}.json").write_text("\n".join([*lines, ""]))


def lines_of(talk: Talk) -> list[str]:
    """Return a conversation as JSON with an event a line, so that a change can be read in a diff."""
    return ["[", *",\n".join(_step_lines(step) for step in talk.steps).splitlines(), "]"]


def _step_lines(step: dict[str, Any]) -> str:
    if "frames" not in step:
        return json.dumps(step)
    head = json.dumps({"step": step["step"], "status": step["status"]})[:-1]
    frames = ",\n".join(json.dumps(frame) for frame in step["frames"])
    return f'{head}, "frames": [\n{frames}\n]}}'
