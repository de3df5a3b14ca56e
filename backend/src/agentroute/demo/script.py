"""What the scripted demo model answers: a pure function from a chat request to a script.

Rules are tried in order and the first that has something to say decides:

1. The caller insists on a tool, or wants JSON: fill the schema.
2. A reminder asks for a title, or for the final report: that.
3. The user's message asks for tools: call those not called yet, step by step.
4. Tools answered: tell what they said.
5. Failures, questions and phrases of the script.
6. Anything else: a friendly answer that quotes the user.

``think`` and ``slowly`` change how the answer of any rule is given. Speaking
HTTP is left to ``model``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal

import orjson

from agentroute.demo import answers
from agentroute.demo.intent import structured_arguments
from agentroute.demo.memory import asked_fact, known_facts, told_fact
from agentroute.demo.request import STRUCTURED_OUTPUT_TOOLS, Conversation, read_conversation
from agentroute.demo.schema import synthesize_arguments
from agentroute.demo.shared_list import TOOL as STATE_TOOL
from agentroute.demo.shared_list import asked_list, list_items, list_wish, operations, shared_state
from agentroute.demo.triggers import RequestedCall, Step, requested_call, requested_steps


class Failure(StrEnum):
    """A way to fail on request; the value is the word after ``fail``."""

    UNAVAILABLE = "503"
    SERVER_ERROR = "500"
    RATE_LIMITED = "429"
    BAD_REQUEST = "400"
    INTENT = "intent"
    """Structured output is refused; the execution stage is not reached."""
    CUT = "mid"
    """The connection breaks after a few deltas."""
    BROKEN_CHUNK = "chunk"
    """A chunk that is no JSON, after a few deltas."""
    ERROR_CHUNK = "error"
    """An error object in the stream, after a few deltas, as LiteLLM reports an upstream failure."""
    EMPTY = "empty"
    """The stream ends before anything was said."""
    HANG = "hang"
    """The first token never comes."""
    LENGTH = "length"
    """A cut answer with finish reason ``length``."""
    FILTER = "filter"
    """A cut answer with finish reason ``content_filter``."""


class Pace(StrEnum):
    """How fast the answer comes."""

    AT_ONCE = "at-once"
    HUMAN = "human"
    SLOW = "slow"


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call of the answer."""

    name: str
    arguments: str
    """JSON text; broken when the user wrote it broken."""


@dataclass(frozen=True, slots=True)
class Script:
    """One answer: reasoning, then text, then tool calls; or a failure, which may say its text first."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[Call, ...] = ()
    failure: Failure | None = None
    pace: Pace = Pace.HUMAN

    @property
    def finish_reason(self) -> Literal["stop", "tool_calls", "length", "content_filter"]:
        """The provider's reason for ending."""
        if self.failure is Failure.LENGTH:
            return "length"
        if self.failure is Failure.FILTER:
            return "content_filter"
        return "tool_calls" if self.calls else "stop"


_THINK = re.compile(r"\bthink\b", re.IGNORECASE)
_SLOWLY = re.compile(r"\bslowly\b", re.IGNORECASE)
_HELP = re.compile(r"^\W*(?:help|what can you do)\b", re.IGNORECASE)
_GREETING = re.compile(
    r"^\W*(?:hello|hi|hey|good (?:morning|afternoon|evening)|who are you)\W*$", re.IGNORECASE
)
_FAIL = re.compile(r"^\W*fail(?:\s+(?P<mode>[a-z0-9]+))?\W*$", re.IGNORECASE)
_TITLE = re.compile(r"\bwrite a title\b", re.IGNORECASE)
_REPORT = re.compile(r"\breport\b|\bsummar|\bfinal answer\b", re.IGNORECASE)

_UNFINISHED = "I begin an answer as you asked me to, but it will not reach its"


def decide(body: Mapping[str, Any]) -> Script:
    """Decide the answer to the body of ``POST /v1/chat/completions``.

    The same body always gives the same script.

    Raises:
        RequestInvalid: The body is not a chat request.
    """
    conversation = read_conversation(body)
    script = next(found for rule in _RULES if (found := rule(conversation)) is not None)
    return _in_the_wished_manner(script, conversation)


def _in_the_wished_manner(script: Script, conversation: Conversation) -> Script:
    if script.pace is Pace.AT_ONCE:
        return script
    # Thoughts come once a turn, before the first tool, and not again in the report.
    thinks = (
        _THINK.search(conversation.user_text) and not conversation.calls_made and not conversation.instruction
    )
    slow = _SLOWLY.search(conversation.user_text)
    return replace(
        script, reasoning=answers.REASONING if thinks else "", pace=Pace.SLOW if slow else Pace.HUMAN
    )


def _structured(conversation: Conversation) -> Script | None:
    if conversation.answer_schema is not None:
        arguments = structured_arguments(conversation.answer_schema, conversation)
        return Script(text=orjson.dumps(arguments).decode(), pace=Pace.AT_ONCE)
    name = _insisted_tool(conversation)
    if name is None:
        return None
    if _failure_of(conversation.user_text) is Failure.INTENT:
        return Script(failure=Failure.UNAVAILABLE, pace=Pace.AT_ONCE)
    wish = requested_call(conversation.user_text)
    if wish and wish.name == name and wish.arguments is not None:
        return Script(calls=(Call(name, wish.arguments),), pace=Pace.AT_ONCE)
    schema = conversation.tools.get(name, {})
    fill = (
        structured_arguments(schema, conversation)
        if name in STRUCTURED_OUTPUT_TOOLS
        else synthesize_arguments(schema)
    )
    return Script(calls=(Call(name, orjson.dumps(fill).decode()),), pace=Pace.AT_ONCE)


def _insisted_tool(conversation: Conversation) -> str | None:
    """Return the tool that has to be called now, if any."""
    if conversation.must_call == "*":
        wish = requested_call(conversation.user_text)
        return wish.name if wish and wish.name in conversation.tools else next(iter(conversation.tools), None)
    if conversation.must_call is not None:
        return conversation.must_call
    # Without a forced choice (some providers refuse one), a reminder asks for it by name.
    asked = (
        name
        for name in conversation.tools
        if name in STRUCTURED_OUTPUT_TOOLS and name in conversation.reminders
    )
    return next(asked, None)


def _title(conversation: Conversation) -> Script | None:
    if not _TITLE.search(conversation.instruction):
        return None
    return Script(text=f"About “{answers.quote(conversation.user_text)}”", pace=Pace.AT_ONCE)


def _report(conversation: Conversation) -> Script | None:
    if not _REPORT.search(conversation.instruction):
        return None
    return Script(text=answers.report(conversation))


def _tools(conversation: Conversation) -> Script | None:
    """Take the first step that is not done.

    A step is done when any of its tools was called: its calls are made
    together, and those missing were not on offer.
    """
    called = list(conversation.calls_made)
    for step in requested_steps(conversation.user_text, conversation.tools):
        done = [call.name for call in step.calls if call.name in called]
        for name in done:
            called.remove(name)
        if done:
            continue
        if step.calls:
            return _call(step, conversation)
        if conversation.results:
            # Plain talk after the tools: their results, then the answer to it.
            script = _talk(replace(conversation, user_text=step.text))
            return replace(script, text=f"{answers.tell(conversation.results)} {script.text}".strip())
    return None


def _call(step: Step, conversation: Conversation) -> Script:
    offered = [call for call in step.calls if call.name in conversation.tools]
    missing = [call.name for call in step.calls if call.name not in conversation.tools]
    calls = [made for call in offered if (made := _filled(call, conversation))]
    sentences = [answers.tell(conversation.results)] if conversation.results and not calls else []
    if missing:
        sentences.append(answers.not_offered(missing, conversation))
    if len(calls) < len(offered):
        sentences.append(answers.NOT_ON_THE_LIST)
    return Script(text=" ".join(sentences), calls=tuple(calls))


def _filled(call: RequestedCall, conversation: Conversation) -> Call | None:
    """Complete a call; ``None`` if there is nothing for it to do."""
    if call.wish is not None:
        patch = operations(call.wish, shared_state(conversation))
        return Call(call.name, orjson.dumps({"operations": patch}).decode()) if patch else None
    if call.arguments is not None:
        return Call(call.name, call.arguments)
    arguments = synthesize_arguments(conversation.tools[call.name])
    return Call(call.name, orjson.dumps(arguments).decode())


def _told(conversation: Conversation) -> Script | None:
    return Script(text=answers.tell(conversation.results)) if conversation.results else None


def _talk(conversation: Conversation) -> Script:
    return next(found for rule in _PHRASES if (found := rule(conversation)) is not None)


def _failed(conversation: Conversation) -> Script | None:
    failure = _failure_of(conversation.user_text)
    if failure is None:
        return None
    if failure is Failure.INTENT:
        return Script(
            text="The intent stage was told to fail, and yet I am asked for an answer: it was skipped."
        )
    says_something = failure in (
        Failure.CUT,
        Failure.BROKEN_CHUNK,
        Failure.ERROR_CHUNK,
        Failure.LENGTH,
        Failure.FILTER,
    )
    return Script(text=_UNFINISHED if says_something else "", failure=failure)


def _failure_of(text: str) -> Failure | None:
    match = _FAIL.match(text)
    if match is None:
        return None
    mode = (match["mode"] or Failure.UNAVAILABLE).lower()
    return Failure(mode) if mode in set(Failure) else None


def _fact(conversation: Conversation) -> Script | None:
    if subject := asked_fact(conversation.user_text):
        value = known_facts(conversation).get(subject)
        known = f"Your {subject} is {value}. You told me so, and I read it in our conversation."
        return Script(text=known if value else f"You have not told me your {subject} yet.")
    if told := told_fact(conversation.user_text):
        subject, value = told
        greeting = (
            f"Nice to meet you, {value}." if subject == "name" else f"Noted: your {subject} is {value}."
        )
        return Script(
            text=f"{greeting} {answers.WHO} Ask me for your {subject} later and I will find it in our history."
        )
    return None


def _listed(conversation: Conversation) -> Script | None:
    name = asked_list(conversation.user_text)
    if name is not None and (state := shared_state(conversation)) is not None:
        return Script(text=answers.on_the_list(list_items(state, name)))
    # A change of a list, where the tool for it is not on offer.
    asks = name is not None or list_wish(conversation.user_text) is not None
    return Script(text=answers.NO_STATE) if asks and STATE_TOOL not in conversation.tools else None


def _seen(conversation: Conversation) -> Script | None:
    if not conversation.attachments:
        return None
    said = answers.chat(conversation) if conversation.user_text else ""
    return Script(text=f"{answers.attachments(conversation.attachments)} {said}".strip())


_PHRASES: tuple[Callable[[Conversation], Script | None], ...] = (
    _failed,
    lambda said: Script(text=answers.HELP) if _HELP.search(said.user_text) else None,
    lambda said: Script(text=answers.GREETING) if _GREETING.search(said.user_text) else None,
    _fact,
    _listed,
    _seen,
    lambda said: Script(text=answers.SLOW) if _SLOWLY.search(said.user_text) else None,
    lambda said: Script(text=cited) if (cited := answers.from_passages(said.reminders)) else None,
    lambda said: Script(text=answers.chat(said)),
)
"""The phrases of the script; the last answers everything."""

_RULES: tuple[Callable[[Conversation], Script | None], ...] = (
    _structured,
    _title,
    _report,
    _tools,
    _told,
    _talk,
)
