"""A reader's place in the events of a thread: what to ask for, what has come, when to come back. No I/O.

The rules of a stream:

- The last event of a run ends the stream of that run. A body that ends without it was cut off, or reached its greatest
  age: the reader comes back with the cursor of its last event, and misses and repeats nothing.
- The stream of a thread (no run, no ``connect``) has no end.
- 204 says that nothing is left.
- What will pass by itself (a service that restarts) is waited for. Any other refusal is the caller's.

See docs/adr/0002 for cursors, docs/adr/0019 for the ids of a stream that connects.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping

from agentroute.client.attempts import Patience, Retry, may_pass, named_wait_seconds
from agentroute.client.backoff import pause
from agentroute.client.errors import AgentRouteError, UnexpectedAnswer, refusal
from agentroute.client.events import TERMINAL_TYPES, Event, read_event
from agentroute.client.sse import Frame, SseParser
from agentroute.client.wire_form import WireFormError, parse

SILENCE_SECONDS = 60.0
"""A stream without a byte for so long is dead: the service sends a heartbeat every 15 seconds."""
_RETRY_SECONDS = 2.0
"""Until the service names its own time (``retry:``)."""
_STEADY_SECONDS = 10.0
"""A stream that lasted so long was no failure, even if it brought nothing."""
_PLACE = re.compile(r"(\d{1,18})-(\d{1,18})(?:\.(\d{1,18}))?", re.ASCII)

Clock = Callable[[], float]


class Following:
    """What one stream has seen and still has to see.

    Attributes:
        thread_id: The thread.
        run_id: The run; ``None`` for every run of the thread.
        cursor: The place of the last event that was handed out.
        is_over: Nothing more will come.
    """

    def __init__(
        self,
        thread_id: str,
        *,
        run_id: str | None = None,
        cursor: str | None = None,
        connect: bool = False,
        limit: int | None = None,
        patience: Patience | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.thread_id = thread_id
        self.run_id = run_id
        self.cursor = cursor
        self.is_over = False
        self._connect = connect
        self._limit = limit
        self._patience = patience or Patience()
        self._clock = clock
        self._parser = SseParser()
        self._retry_seconds = _RETRY_SECONDS
        self._failures = 0
        self._opened_at: float | None = None
        self._lost_at: float | None = None
        self._at_least = 0.0

    def query(self) -> dict[str, str]:
        """Return the query of the next ``GET /events``."""
        asked = {"threadId": self.thread_id}
        if self.run_id is not None:
            asked["runId"] = self.run_id
        if self._connect:
            asked["connect"] = "true"
            if self._limit is not None:
                asked["limit"] = str(self._limit)
        elif self.cursor is not None:
            asked["cursor"] = self.cursor
        return asked

    def headers(self) -> dict[str, str]:
        """Return the headers of the next ``GET /events``."""
        # With two types the request is none of an EventSource, which is told of no 503.
        headers = {"Accept": "text/event-stream, application/problem+json"}
        if self._connect and self.cursor is not None:
            headers["Last-Event-ID"] = self.cursor
        return headers

    def opened(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> AgentRouteError | None:
        """Note the head of an answer.

        Args:
            status: Of the answer.
            headers: Of the answer.
            body: Of an answer that is no stream.

        Returns:
            What will pass by itself; ``None`` if the body is to be read, or if nothing is left (``is_over``).

        Raises:
            AgentRouteError: The stream cannot go on.
        """
        if status == 204:
            self.is_over = True
            return None
        if status != 200:
            error = refusal(status, headers, body)
            if not may_pass(error):
                raise error
            self._at_least = named_wait_seconds(error)
            return error
        if not headers.get("content-type", "").startswith("text/event-stream"):
            raise UnexpectedAnswer(
                "The answer is no event stream: is the address that of an AgentRoute?", status
            )
        self._parser = SseParser()
        self._opened_at, self._lost_at = self._clock(), None
        return None

    def receive(self, chunk: bytes) -> Iterator[Event]:
        """Take in bytes; yields the events that they complete. ``cursor`` is that of the event last yielded."""
        frames = self._parser.feed(chunk)
        if self._parser.retry_milliseconds is not None:
            self._retry_seconds = self._parser.retry_milliseconds / 1000
        for frame in frames:
            if self.is_over:
                return
            if (event := self._event(frame)) is None:
                continue
            self._failures = 0
            self.cursor = event.cursor or self.cursor
            ends = self.run_id is not None or self._connect
            self.is_over = ends and event.type in TERMINAL_TYPES
            yield event

    def lost(self, error: AgentRouteError | None) -> float:
        """Note that the body ended, or never came; returns how many seconds to wait before the next request.

        Args:
            error: Why; ``None`` if the body ended in order.

        Raises:
            AgentRouteError: The stream has tried for long enough.
        """
        now = self._clock()
        if self._opened_at is not None and now - self._opened_at >= _STEADY_SECONDS:
            self._failures = 0
        self._opened_at = None
        self._lost_at = now if self._lost_at is None else self._lost_at
        allowed = self._patience.reconnect_seconds
        if error is not None and allowed is not None and now - self._lost_at >= allowed:
            raise error
        self._failures += 1
        seconds = pause(
            self._failures,
            base_seconds=self._retry_seconds,
            at_least_seconds=self._at_least,
            cap_seconds=self._patience.max_pause_seconds,
            random=self._patience.random,
        )
        self._at_least = 0.0
        reason = "" if error is None else str(error)
        told = Retry(failures=self._failures, pause_seconds=seconds, reason=reason, thread_id=self.thread_id)
        self._patience.tell(told)
        return seconds

    def _event(self, frame: Frame) -> Event | None:
        cursor = frame.id or None
        if _is_seen(cursor, self.cursor):
            return None
        try:
            return read_event(parse(frame.data), cursor)
        except WireFormError as exc:
            raise UnexpectedAnswer(f"An event of the stream cannot be read: {exc}") from exc


def _is_seen(cursor: str | None, last: str | None) -> bool:
    """Say whether an event is told again. Nothing that is not a cursor counts as seen."""
    here, there = _place(cursor), _place(last)
    return here is not None and there is not None and here <= there


def _place(cursor: str | None) -> tuple[int, int, int] | None:
    found = _PLACE.fullmatch(cursor or "")
    if found is None:
        return None
    # The ids of an opening count down: 3-17.2, 3-17.1, 3-17.
    return int(found[1]), int(found[2]), -int(found[3] or 0)
