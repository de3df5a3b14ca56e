"""The sentences of the scripted demo model.

Pure. Every answer that could be mistaken for intelligence says that it is scripted.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from agentroute.demo.request import Conversation, ToolResult

WHO = "I am AgentRoute's scripted demo model, not an AI."

HELP = f"""{WHO} I follow a fixed script, and this is all of it:

- "what time is it", "calculate 6*7", "remember that I like tea", "what do you remember", \
"fetch https://example.com/": I call the tool for it, then tell you its result.
- "put milk on the list", "take milk off the list", "what is on the list": I change the shared state, if there is one.
- "dark theme please", "draw a chart of 3, 5, 8": the chat page does it itself, and tells me.
- "call the tool <name>" or "call the tool <name> with {{"key": "value"}}": any tool on offer, also your client's own.
- Join requests by "and also" for parallel calls, by "and then" for one after the other.
- "think about it": I stream my reasoning before the answer, and an encrypted value that I want back.
- "slowly": a long answer at a slow pace, good for trying cancel and reconnect.
- "my name is Ada", and later "what is my name": I read it from the history.
- "fail": the request is refused with HTTP 503. Also "fail 400", "fail 429", "fail 500", "fail intent", "fail mid", \
"fail chunk", "fail error", "fail empty", "fail hang", "fail length" and "fail filter".
- "help": this list.

Anything else gets a friendly answer that quotes you. Point AGENT_MODEL__BASE_URL at a real model for more."""

GREETING = f'Hello! {WHO} I can still show you streaming, tools and failures. Say "help" to see what I know.'

NO_STATE = (
    "This conversation has no shared state yet, so there is no list. "
    f'Open "Shared state" in the chat page, press "Start a list", then ask me again. {WHO}'
)
NOT_ON_THE_LIST = "That is not on the list, so there is nothing to take off."

SLOW = (
    "Slowly it is. I am scripted, so I have all the time in the world. "
    "Each of these words arrives about a tenth of a second after the last one. "
    "That leaves you time to close the page, open it again, and see the rest arrive. "
    "It also leaves you time to press stop. This is the end of the slow answer."
)

REASONING = (
    "The user asks me to think. I am a script, so these thoughts were written in advance. "
    "First I look for a word that I know. Then I choose the answer that belongs to it. "
)

_LONGEST_RESULT = 600
_LONGEST_QUOTE = 80

_DENIED = re.compile(
    r"\b(?:declined|denied|rejected|refused) by\b|\bis denied\b|\bnot (?:allowed|permitted|approved) (?:to|by)\b",
    re.IGNORECASE,
)
_INTERRUPTED = re.compile(r"^interrupted\b|\bhas been interrupted\b|\bcancelled by\b", re.IGNORECASE)
_FAILED = re.compile(
    r"^\W*(?:error|failed|failure|traceback|exception|invalid)\b|\"error\"\s*:|\btimed out\b", re.IGNORECASE
)

_TOLD_BY_TOOL: Mapping[str, str] = {
    "current_time": "The clock tool says: {result}.",
    "calculate": "The calculator says that {expression} = {result}.",
    "remember": "I asked the memory tool to keep “{text}”. It answered: {result}.",
    "recall": "The memory tool says: {result}.",
    "fetch_url": "I asked for {url} and got: {result}",
    "update_state": "Done. The shared state is now: {result}.",
    "set_theme": "Done. {result}.",
    "show_chart": "Here it is. {result}.",
}
"""Each shows the result itself: a failure that is not recognised as one is still told truly."""

_PASSAGE = re.compile(r"\[(\d+)\] [^\n]*\n(.+)", re.DOTALL)
"""A number, a title, and on the next line the text."""

_NUMBER = re.compile(r"[-+\d.,_eEj()\s]*\d[-+\d.,_eEj()\s]*")


def quote(text: str) -> str:
    """Return the start of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_QUOTE else line[: _LONGEST_QUOTE - 1].rstrip() + "…"


def tell(results: Sequence[ToolResult]) -> str:
    """Say what tools answered; refusals and errors are told as such."""
    return " ".join(_tell_one(result) for result in results)


def report(conversation: Conversation) -> str:
    """Write the final report of a turn from its tool results."""
    opening = (
        f"Here is the report on “{quote(conversation.user_text)}”." if conversation.user_text else "Report."
    )
    if conversation.results:
        return f"{opening} {tell(conversation.results)} That is everything that was done; I am scripted and add nothing."
    if conversation.previous_answer:
        return f"{opening} {conversation.previous_answer}"
    return f"{opening} No tool was called, so there is nothing to add. {WHO}"


def not_offered(names: Sequence[str], conversation: Conversation) -> str:
    """Say that tools asked for are not on offer."""
    missing = " and ".join(f'"{name}"' for name in names)
    offered = ", ".join(conversation.tools) or "none"
    noun = "tools" if len(names) > 1 else "tool"
    return (
        f"You asked for the {noun} {missing}, but this request does not offer it. Tools on offer: {offered}."
    )


def attachments(kinds: Sequence[str]) -> str:
    """Acknowledge pictures and other parts that are not text."""
    images = sum(kind == "image_url" for kind in kinds)
    others = len(kinds) - images
    sentences: list[str] = []
    if images:
        seen = "an image" if images == 1 else f"{images} images"
        sentences.append(f"I see {seen}, but I am scripted, so I cannot tell what it shows.")
    if others:
        sentences.append("I see an attachment, but I am scripted, so I cannot read it.")
    return " ".join(sentences)


def chat(conversation: Conversation) -> str:
    """Answer plain talk: quote it, and say what this is."""
    said = quote(conversation.user_text)
    opening = f"You said: “{said}”." if said else "Thank you for that."
    return (
        f"{opening} That is a fine thing to say, and I wish I could do more with it. {WHO} "
        'I stream these words at a human pace so that you can see the service work. Say "help" to see what I know.'
    )


def on_the_list(items: Sequence[str] | None) -> str:
    """Tell what is on a list; ``None`` is a list that does not exist."""
    if items is None:
        return f"There is no such list in our shared state. {WHO}"
    said = ", ".join(items) if items else "nothing yet"
    return f"On the list: {said}. I read that in our shared state. {WHO}"


def from_passages(reminders: str) -> str:
    """Quote the first passage that came with the message, as a model that cites would; empty without one."""
    found = _PASSAGE.search(reminders)
    return f"I was given this: “{quote(found[2])}” [{found[1]}]. {WHO}" if found else ""


def _tell_one(result: ToolResult) -> str:
    text = _plain(result.text)
    if _INTERRUPTED.search(text):
        return f"The tool {result.name} was interrupted, so there is no result: {text}"
    if _DENIED.search(text) and len(text) < _LONGEST_RESULT:
        return f"The tool {result.name} was not run, because it was not allowed. I was told: {text}"
    if _FAILED.search(text):
        return f"The tool {result.name} did not succeed. I was told: {text}"
    if not text:
        return f"The tool {result.name} finished without saying anything."
    template = _TOLD_BY_TOOL.get(result.name, "The tool {tool} answered: {result}.")
    if result.name == "calculate" and not _NUMBER.fullmatch(text):
        template = "The calculator says: {result}."
    values = {"tool": result.name, **result.arguments, "result": text.rstrip(".")}
    try:
        return template.format_map(values)
    except KeyError:
        # Another tool of the same name, with arguments of its own.
        return f"The tool {result.name} answered: {text}"


def _plain(text: str) -> str:
    """Turn a tool's text, often JSON, into words; long ones are cut."""
    text = re.sub(r"</?system-[a-z]+>", "", text).strip()
    # A bare number stays as the tool wrote it.
    if text.startswith(("{", "[", '"')):
        with contextlib.suppress(orjson.JSONDecodeError):
            text = _words(orjson.loads(text))
    if len(text) > _LONGEST_RESULT:
        return f"{text[:_LONGEST_RESULT].rstrip()}… (cut, {len(text)} characters in all)"
    return text


def _words(value: Any) -> str:
    match value:
        case {"error": problem} if problem:
            return orjson.dumps(value).decode()
        case dict():
            return ", ".join(f"{key}: {_words(item)}" for key, item in value.items())
        case list():
            return "; ".join(_words(item) for item in value)
        case str():
            return value
        case _:
            return orjson.dumps(value).decode()
