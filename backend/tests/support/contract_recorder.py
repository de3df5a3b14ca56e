"""Talks to a running service as an app does, and keeps every byte of its streams: the steps of a vector."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx
from tests.support.contract_vectors import Told, read_block
from tests.support.limits import HUNG_SECONDS

Json = dict[str, Any]
_TERMINAL = ("RUN_FINISHED", "RUN_ERROR")


class Stream:
    """An open stream, read block by block."""

    def __init__(self, response: httpx.Response) -> None:
        self._chunks = response.iter_raw()
        self._rest = b""
        self.blocks: list[str] = []
        self.told: list[Told] = []

    def next(self) -> Told | None:
        """Return what comes next; ``None`` at the end of the body."""
        while True:
            block, separator, rest = self._rest.partition(b"\n\n")
            if separator:
                self._rest = rest
                self.blocks.append((block + separator).decode())
                if told := read_block(self.blocks[-1]):
                    self.told.append(told)
                    return told
                continue
            chunk = next(self._chunks, None)
            if chunk is None:
                assert self._rest == b"", self._rest
                return None
            self._rest += chunk

    def until(self, type_: str, *, is_live: bool = False) -> Json:
        """Read on to the first event of a type; ``is_live``, to the first that is not of an opening."""
        while told := self.next():
            if told.event["type"] == type_ and not (is_live and "." in (told.cursor or "")):
                return told.event
        raise AssertionError(f"the stream ended without {type_}: {self.blocks}")

    def to_end(self) -> None:
        while self.next():
            pass


class Recorder:
    """One app on one thread. ``vector`` is what it got.

    Args:
        http: Its base URL is that of the chat API.
        name: The scenario.
        about: What the scenario shows.
    """

    def __init__(self, http: httpx.Client, name: str, about: str) -> None:
        self._http = http
        self.thread = f"contract-{name}-{uuid4().hex}"
        self._cut: list[str] = []
        self._about = about
        self._steps: list[Json] = []

    @property
    def vector(self) -> Json:
        """The vector, without states."""
        return {"about": self._about, **({"cut": self._cut} if self._cut else {}), "steps": self._steps}

    def body(self, text: str | None = None, **members: Any) -> Json:
        """Return the request of a run; members that are ``None`` are left out."""
        messages = [] if text is None else [{"id": f"user-{uuid4().hex}", "role": "user", "content": text}]
        body: Json = {
            "threadId": self.thread,
            "runId": f"run-{uuid4().hex}",
            "protocolVersion": "1.0",
            "messages": messages,
            "state": None,
            "tools": [],
            "context": [],
            "forwardedProps": {},
        } | members
        # As the app does: it has all messages but the new ones.
        body["forwardedProps"] = _without_none({"messagesSnapshot": "never"} | body["forwardedProps"])
        return _without_none(body)

    # --- what is recorded

    def run(self, text: str | None = None, **members: Any) -> list[Json]:
        """Run to the end; returns the events."""
        with self.open(text, **members) as stream:
            pass
        return [told.event for told in stream.told]

    def resume(self, asked: list[Json], **answer: Any) -> list[Json]:
        """Give the same answer to all questions with which a run ended."""
        answers = [{"interruptId": each["id"], **answer} for each in asked[-1]["outcome"]["interrupts"]]
        with self.open(path="/resume", resume=answers) as stream:
            pass
        return [told.event for told in stream.told]

    @contextmanager
    def open(
        self, text: str | None = None, *, path: str = "/runs", body: Json | None = None, **members: Any
    ) -> Iterator[Stream]:
        """Start a run and yield its stream, which is read to its end."""
        body = body or self.body(text, **members)
        request = {"method": "POST", "path": path, "body": body}
        with self._streaming({"step": "run", "request": request, **self.asks(body)}) as stream:
            yield stream
            stream.to_end()

    @contextmanager
    def connect(self, limit: int | None = None) -> Iterator[Stream]:
        """Connect as an app that holds nothing, and yield the stream, which is read to its end.

        Args:
            limit: How many messages the app wants at first.
        """
        params = {"threadId": self.thread, "connect": "true"} | (
            {} if limit is None else {"limit": str(limit)}
        )
        request = {"method": "GET", "path": "/events", "params": params}
        with self._streaming({"step": "connect", "holds": "nothing", "request": request}) as stream:
            yield stream
            stream.to_end()

    def events(self, body: Json) -> None:
        """Read the stream of a run that was started without one."""
        params = {"threadId": self.thread, "runId": body["runId"]}
        request = {"method": "GET", "path": "/events", "params": params}
        with self._streaming({"step": "events", "request": request, **self.asks(body)}) as stream:
            stream.to_end()

    def follow(self, cursor: str, *, runs: int) -> None:
        """Follow the thread from a cursor until so many runs have ended."""
        params = {"threadId": self.thread, "cursor": cursor}
        request = {"method": "GET", "path": "/events", "params": params}
        with self._streaming({"step": "follow", "request": request}) as stream:
            while runs and (told := stream.next()):
                runs -= told.event["type"] in _TERMINAL

    def history(self, *, holds: str | None = None) -> Json:
        """Keep what history says. An app that ``holds`` nothing begins with it."""
        params = {"threadId": self.thread, "limit": "200"}
        answer = self._http.get("/history", params=params).raise_for_status().json()
        self._steps.append({"step": "history", **({"holds": holds} if holds else {}), "answer": answer})
        return answer

    def older(self, before: str) -> None:
        """Read the page of the messages before one."""
        answer = self._http.get("/history", params={"threadId": self.thread, "before": before})
        self._steps.append({"step": "older", "answer": answer.raise_for_status().json()})

    def cut(self, event: Json) -> None:
        """A message was cut off: how much of it there is depends on time."""
        self._cut.append(event["messageId"])

    # --- what is not

    def post(self, text: str | None = None, **members: Any) -> Json:
        """Start a run without a stream; returns its request."""
        body = self.body(text, **members)
        self._http.post("/runs", json=body, headers={"Accept": "application/json"}).raise_for_status()
        return body

    def ended(self, body: Json) -> None:
        """Read a run to its end, and forget it."""
        self._http.get("/events", params={"threadId": self.thread, "runId": body["runId"]}).raise_for_status()

    def begun(self, body: Json) -> None:
        """Wait until a run has said something."""
        params = {"threadId": self.thread, "runId": body["runId"]}
        with self._http.stream("GET", "/events", params=params) as response:
            Stream(response).until("TEXT_MESSAGE_CONTENT")

    def cancel(self, run_id: str) -> None:
        path = f"/runs/{run_id}/cancel"
        self._http.post(path, json={"threadId": self.thread}).raise_for_status()

    @staticmethod
    def asks(body: Json) -> Json:
        """Return what the app adds to its own messages, and what it takes away, when it sends a request."""
        regenerate_from = body["forwardedProps"].get("regenerateFrom")
        more = {} if regenerate_from is None else {"regenerateFrom": regenerate_from}
        return {"asks": {"messages": body["messages"], **more}}

    @contextmanager
    def _streaming(self, step: Json) -> Iterator[Stream]:
        request = step["request"]
        options: Json = {"json": request["body"]} if "body" in request else {"params": request["params"]}
        headers = {"Accept": "text/event-stream"}
        with self._http.stream(
            request["method"], request["path"], headers=headers, timeout=HUNG_SECONDS, **options
        ) as response:
            assert response.status_code == 200, response.read()
            stream = Stream(response)
            yield stream
        # Through JSON: what is kept is what a file holds.
        self._steps.append(
            json.loads(json.dumps({**step, "stream": [{"sse": sse} for sse in stream.blocks]}))
        )


def _without_none(members: Json) -> Json:
    return {name: value for name, value in members.items() if value is not None}
