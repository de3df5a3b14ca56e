"""The rules a stock AG-UI client holds an event stream to, as a pure function over its events.

Source: AG-UI 1.0, ``verifyEvents`` of ``@ag-ui/client`` 1.0.0. Messages are
our own words; which streams pass is the same. Events are JSON objects in wire
form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

Event = dict[str, Any]

_NO_OWNER = object()
"""Nobody is on record, which is not the parent agent (``None``)."""
_NULLABLE_NOWHERE = {
    "SUBAGENT_STARTED": ("description", "parentSubagentRunId", "parentToolCallId", "parentMessageId"),
    "SUBAGENT_FINISHED": ("outcome",),
    "SUBAGENT_ERROR": ("code",),
}


class ProtocolViolation(AssertionError):
    """A client would end the stream with an error here."""


class AguiVerifier:
    """Takes in the events of a stream one by one; raises at the first that a client refuses."""

    def __init__(self) -> None:
        self._received = False
        self._started = False
        self._reset()
        self._rules: dict[str, Callable[[Event], None]] = {
            "RUN_STARTED": self._run_started,
            "RUN_FINISHED": self._run_finished,
            "RUN_ERROR": self._run_error,
            "TEXT_MESSAGE_START": self._text_start,
            "TEXT_MESSAGE_CONTENT": self._text_goes_on,
            "TEXT_MESSAGE_END": self._text_goes_on,
            "TOOL_CALL_START": self._tool_start,
            "TOOL_CALL_ARGS": self._tool_goes_on,
            "TOOL_CALL_END": self._tool_goes_on,
            "TOOL_CALL_RESULT": self._tool_result,
            "STEP_STARTED": self._step_started,
            "STEP_FINISHED": self._step_finished,
            "REASONING_START": self._reasoning_start,
            "REASONING_MESSAGE_START": self._reasoning_start,
            "REASONING_MESSAGE_CONTENT": self._reasoning_goes_on,
            "REASONING_MESSAGE_END": self._reasoning_goes_on,
            "REASONING_END": self._reasoning_goes_on,
            "REASONING_ENCRYPTED_VALUE": self._encrypted_value,
            "ACTIVITY_SNAPSHOT": self._activity_snapshot,
            "ACTIVITY_DELTA": self._activity_delta,
            "MESSAGES_SNAPSHOT": self._messages_snapshot,
            "SUBAGENT_STARTED": self._subagent_started,
            "SUBAGENT_FINISHED": self._subagent_ended,
            "SUBAGENT_ERROR": self._subagent_ended,
        }

    @property
    def ended(self) -> bool:
        """Whether the newest run has its terminal event."""
        return self._finished or self._errored

    def feed(self, event: Event) -> None:
        """Take in the next event.

        Raises:
            ProtocolViolation: A client refuses it in this place.
        """
        kind = event["type"]
        self._check_place(kind)
        self._check_nulls(event)
        if rule := self._rules.get(kind):
            rule(event)

    def _reset(self) -> None:
        self._finished = self._errored = False
        self._open_texts: set[str] = set()
        self._open_calls: set[str] = set()
        self._open_spans: set[str] = set()
        self._open_reasonings: set[str] = set()
        self._open_steps: set[tuple[str | None, str]] = set()
        self._open_subagents: set[str] = set()
        self._closed_subagents: set[str] = set()
        # Owners outlive the end of what they own, each kind by itself: an id is unique within a kind.
        self._message_owners: dict[str, str | None] = {}
        self._call_owners: dict[str, str | None] = {}
        self._reasoning_owners: dict[str, str | None] = {}
        self._activity_owners: dict[str, str | None] = {}

    # --- the stream -------------------------------------------------------------------

    def _check_place(self, kind: str) -> None:
        if self._errored and kind != "RUN_STARTED":
            raise ProtocolViolation(f"{kind} after RUN_ERROR")
        if self._finished and kind not in ("RUN_ERROR", "RUN_STARTED"):
            raise ProtocolViolation(f"{kind} after RUN_FINISHED")
        if not self._received:
            self._received = True
            if kind not in ("RUN_STARTED", "RUN_ERROR"):
                raise ProtocolViolation(f"{kind} before RUN_STARTED")
        elif kind == "RUN_STARTED":
            if self._started and not self.ended:
                raise ProtocolViolation("RUN_STARTED in a run")
            if self.ended:
                self._reset()

    def _check_nulls(self, event: Event) -> None:
        kind = event["type"]
        for name in ("subagentRunId", *_NULLABLE_NOWHERE.get(kind, ())):
            if event.get(name, "") is None:
                raise ProtocolViolation(f"{kind} with {name}: null")
        outcome = event.get("outcome")
        if kind.startswith("SUBAGENT_") and outcome is not None:
            if not isinstance(outcome, dict) or outcome.get("type") not in ("success", "suspended"):
                raise ProtocolViolation(f"{kind} with outcome {outcome!r}")
            ids = outcome.get("interruptIds", [])
            if ids is None or (isinstance(ids, list) and not all(isinstance(item, str) for item in ids)):
                raise ProtocolViolation(f"{kind} with interrupt ids {ids!r}")
        if kind == "RUN_FINISHED" and isinstance(outcome, dict) and outcome.get("type") == "interrupt":
            for interrupt in outcome.get("interrupts", ()):
                if interrupt.get("subagentRunId", "") is None:
                    raise ProtocolViolation("an interrupt with subagentRunId: null")

    def _run_started(self, event: Event) -> None:
        self._started = True
        self._seed_owners((event.get("input") or {}).get("messages"), replace=False)

    def _run_finished(self, event: Event) -> None:
        for what, still_open in (
            ("steps", self._open_steps),
            ("texts", self._open_texts),
            ("reasoning messages", self._open_reasonings),
            ("reasoning spans", self._open_spans),
            ("tool calls", self._open_calls),
            ("subagents", self._open_subagents),
        ):
            if still_open:
                raise ProtocolViolation(f"RUN_FINISHED with open {what}: {sorted(map(str, still_open))}")
        self._finished = True

    def _run_error(self, event: Event) -> None:
        self._errored = True

    # --- texts and tool calls ---------------------------------------------------------

    def _text_start(self, event: Event) -> None:
        message_id = event["messageId"]
        _open(self._open_texts, message_id, event)
        _check_owner(event, self._message_owners.get(message_id, _NO_OWNER), message_id)
        self._message_owners.setdefault(message_id, event.get("subagentRunId"))

    def _text_goes_on(self, event: Event) -> None:
        message_id = event["messageId"]
        _go_on(self._open_texts, message_id, event, ends="TEXT_MESSAGE_END")
        _check_owner(event, self._message_owners.get(message_id, _NO_OWNER), message_id)

    def _tool_start(self, event: Event) -> None:
        call_id, tag = event["toolCallId"], event.get("subagentRunId")
        _open(self._open_calls, call_id, event)
        parent = self._message_owners.get(event.get("parentMessageId", ""), _NO_OWNER)
        _check_owner(event, parent, event.get("parentMessageId", ""))
        known = self._call_owners.get(call_id, _NO_OWNER)
        _check_owner(event, known, call_id)
        if tag is None and _NO_OWNER not in (known, parent) and known != parent:
            raise ProtocolViolation(f"tool call {call_id} goes to a message of another owner")
        inherited = None if parent is _NO_OWNER else self._message_owners[event["parentMessageId"]]
        self._call_owners.setdefault(call_id, tag if tag is not None else inherited)

    def _tool_goes_on(self, event: Event) -> None:
        call_id = event["toolCallId"]
        _go_on(self._open_calls, call_id, event, ends="TOOL_CALL_END")
        _check_owner(event, self._call_owners.get(call_id, _NO_OWNER), call_id)

    def _tool_result(self, event: Event) -> None:
        # No order is asked for: a resumed run answers a call of the run before it.
        self._message_owners[event["messageId"]] = event.get("subagentRunId")

    # --- steps, reasoning, activities, subagents --------------------------------------

    def _step_started(self, event: Event) -> None:
        step = (event.get("subagentRunId"), event["stepName"])
        if step in self._open_steps:
            raise ProtocolViolation(f"STEP_STARTED for the open step {step}")
        self._open_steps.add(step)

    def _step_finished(self, event: Event) -> None:
        step = (event.get("subagentRunId"), event["stepName"])
        if step not in self._open_steps:
            raise ProtocolViolation(f"STEP_FINISHED for {step}, which its owner did not start")
        self._open_steps.discard(step)

    def _reasoning_start(self, event: Event) -> None:
        message_id = event["messageId"]
        # A span and the message in it are tracked apart, so they may share an id.
        is_span = event["type"] == "REASONING_START"
        _open(self._open_spans if is_span else self._open_reasonings, message_id, event)
        _check_owner(event, self._reasoning_owners.get(message_id, _NO_OWNER), message_id)
        self._reasoning_owners.setdefault(message_id, event.get("subagentRunId"))

    def _reasoning_goes_on(self, event: Event) -> None:
        message_id = event["messageId"]
        is_span = event["type"] == "REASONING_END"
        still_open = self._open_spans if is_span else self._open_reasonings
        _go_on(still_open, message_id, event, ends="REASONING_END" if is_span else "REASONING_MESSAGE_END")
        _check_owner(event, self._reasoning_owners.get(message_id, _NO_OWNER), message_id)

    def _encrypted_value(self, event: Event) -> None:
        entity_id = event["entityId"]
        of_reasoning = self._reasoning_owners.get(entity_id, _NO_OWNER)
        match event.get("subtype"):
            case "tool-call":
                owner = self._call_owners.get(entity_id, _NO_OWNER)
            case "message":
                owner = self._message_owners.get(entity_id, of_reasoning)
            case _:
                owner = of_reasoning
        _check_owner(event, owner, entity_id)

    def _activity_snapshot(self, event: Event) -> None:
        if event["messageId"] not in self._activity_owners or event.get("replace") is not False:
            self._activity_owners[event["messageId"]] = event.get("subagentRunId")

    def _activity_delta(self, event: Event) -> None:
        _check_owner(event, self._activity_owners.get(event["messageId"], _NO_OWNER), event["messageId"])

    def _messages_snapshot(self, event: Event) -> None:
        self._seed_owners(event.get("messages"), replace=True)

    def _subagent_started(self, event: Event) -> None:
        subagent, parent = event.get("subagentRunId"), event.get("parentSubagentRunId")
        if not isinstance(subagent, str) or not isinstance(event.get("name"), str):
            raise ProtocolViolation("SUBAGENT_STARTED without an id or a name")
        known = self._open_subagents | self._closed_subagents
        if subagent in known:
            raise ProtocolViolation(f"subagent {subagent} starts twice")
        if parent is not None and parent not in known:
            raise ProtocolViolation(f"subagent {subagent} has an unknown parent")
        self._open_subagents.add(subagent)

    def _subagent_ended(self, event: Event) -> None:
        subagent = event.get("subagentRunId")
        if not isinstance(subagent, str):
            raise ProtocolViolation(f"{event['type']} without an id")
        if event["type"] == "SUBAGENT_ERROR" and not isinstance(event.get("message"), str):
            raise ProtocolViolation("SUBAGENT_ERROR without a message")
        if subagent not in self._open_subagents:
            raise ProtocolViolation(f"{event['type']} for the closed subagent {subagent}")
        self._open_subagents.discard(subagent)
        self._closed_subagents.add(subagent)

    def _seed_owners(self, messages: Any, *, replace: bool) -> None:
        owners_by_role = {"reasoning": self._reasoning_owners, "activity": self._activity_owners}
        for message in messages if isinstance(messages, list) else ():
            if not isinstance(message, dict) or not isinstance(message.get("id"), str):
                continue
            if message.get("subagentRunId", "") is None:
                raise ProtocolViolation(f"message {message['id']} with subagentRunId: null")
            owner = message.get("subagentRunId")
            owners = owners_by_role.get(message.get("role", ""), self._message_owners)
            owners[message["id"]] = owner if replace else owners.get(message["id"], owner)
            for call in message.get("toolCalls") or ():
                if replace or call["id"] not in self._call_owners:
                    self._call_owners[call["id"]] = owner


def verify(events: Iterable[Event]) -> None:
    """Check a whole stream of one run or more.

    Raises:
        ProtocolViolation: A client refuses an event, or the stream is cut off.
    """
    verifier = AguiVerifier()
    for event in events:
        verifier.feed(event)
    # No released client asks for it yet; the protocol does, and the next client will.
    if not verifier.ended:
        raise ProtocolViolation("the stream ends without a terminal event")


def nulls(event: Event, path: str = "") -> Iterator[str]:
    """Name the members that are null where the protocol leaves them out."""
    open_by_key = {"snapshot", "value", "metadata", "responseSchema", "delta"}
    for name, value in event.items():
        if name in open_by_key:
            continue
        if value is None:
            yield f"{path}/{name}"
        for place, item in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(item, dict):
                yield from nulls(item, f"{path}/{name}/{place}")


def _open(still_open: set[str], entity_id: str, event: Event) -> None:
    if entity_id in still_open:
        raise ProtocolViolation(f"{event['type']} for {entity_id}, which is open")
    still_open.add(entity_id)


def _go_on(still_open: set[str], entity_id: str, event: Event, *, ends: str) -> None:
    if entity_id not in still_open:
        raise ProtocolViolation(f"{event['type']} for {entity_id}, which is not open")
    if event["type"] == ends:
        still_open.discard(entity_id)


def _check_owner(event: Event, owner: object, entity_id: str) -> None:
    tag = event.get("subagentRunId")
    if tag is not None and owner is not _NO_OWNER and owner != tag:
        raise ProtocolViolation(f"{event['type']} for {entity_id} by {tag}, which belongs to {owner}")
