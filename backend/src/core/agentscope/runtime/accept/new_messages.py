"""Which messages of a request count: the server's history is the authority.

Stock AG-UI clients send the whole conversation with every run. The rules are:

* User messages with a new id, and tool messages that answer an open client tool call, are accepted.
* The first run of a new thread may include an earlier text conversation. The tool calls and results in it stay with the
  client, which sends them again with every run.
* A late tool message, for a call of this thread that is no longer open, is ignored.
* A tool message for a call that never existed is refused.
* Everything else is ignored.

Pure: the known ids and the calls are arguments.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from core.agentscope.schemas.messages import (
    AssistantMessage,
    FileSource,
    MediaPart,
    Message,
    ToolMessage,
    UrlSource,
    UserMessage,
)
from core.errors import InvalidRequest, UrlNotAllowed


@dataclass(frozen=True, slots=True)
class NewMessages:
    """``imported`` becomes history without being answered; ``fresh`` is what the agent answers.

    ``again`` is in history already and is answered once more.
    """

    imported: tuple[UserMessage | AssistantMessage, ...]
    fresh: tuple[UserMessage | ToolMessage, ...]
    again: tuple[UserMessage, ...] = ()


def select_new_messages(
    messages: list[Message],
    *,
    known_ids: Collection[str],
    open_tool_calls: Collection[str],
    settled_tool_calls: Collection[str] = (),
    thread_is_new: bool,
    strict_tool_results: bool = True,
) -> NewMessages:
    """Return the messages of a request that the server does not have yet.

    Args:
        messages: As the client sent them, oldest first.
        known_ids: Ids that are in the thread's history.
        open_tool_calls: Client tool calls that wait for an answer.
        settled_tool_calls: The thread's other calls: answered, given up, or not the client's to answer.
        thread_is_new: The thread has no run yet.
        strict_tool_results: Refuse a new result for a call this thread does not have;
            otherwise ignore it.

    Raises:
        InvalidRequest: A new tool message answers no call of this thread, answers one in two ways,
            or comes too late with nothing else to answer beside it.
        UrlNotAllowed: A new user message refers to media by URL.
    """
    imported: list[UserMessage | AssistantMessage] = []
    fresh: list[UserMessage | ToolMessage] = []
    seen = set(known_ids)
    answers: dict[str, ToolMessage] = {}
    late: list[int] = []
    elsewhere: set[str] = set()
    """Calls of answers that are not of this thread: their results answer nothing here."""
    for place, message in enumerate(messages):
        if message.id in seen:
            continue
        match message:
            case UserMessage():
                _check_media(message, place)
                fresh.append(message)
            case AssistantMessage(tool_calls=None | [], content=str()) if thread_is_new:
                # What came before this answer was answered: only what follows is new.
                imported += [item for item in fresh if isinstance(item, UserMessage)]
                imported.append(message)
                fresh = []
            case AssistantMessage():
                elsewhere.update(call.id for call in message.tool_calls or ())
                continue
            case ToolMessage() if message.tool_call_id in answers:
                if strict_tool_results and message.content != answers[message.tool_call_id].content:
                    raise _no_answer(place)
                continue
            case ToolMessage() if message.tool_call_id in open_tool_calls:
                answers[message.tool_call_id] = message
                fresh.append(message)
            case ToolMessage() if message.tool_call_id in elsewhere:
                continue
            case ToolMessage() if strict_tool_results and not thread_is_new:
                if message.tool_call_id not in settled_tool_calls:
                    raise _no_answer(place)
                late.append(place)
                continue
            case _:
                continue
        seen.add(message.id)
    if late and not fresh:
        raise _no_answer(late[0])
    return NewMessages(tuple(imported), tuple(fresh))


def _no_answer(place: int) -> InvalidRequest:
    return InvalidRequest(
        "A tool message answers a call that is not an open client tool call of this thread.",
        errors=[
            {
                "pointer": f"/messages/{place}/toolCallId",
                "message": "not an open client tool call, or already answered",
            }
        ],
    )


def _check_media(message: UserMessage, place: int) -> None:
    if isinstance(message.content, str):
        return
    if not message.content:
        raise InvalidRequest(
            "A user message is empty.",
            errors=[{"pointer": f"/messages/{place}/content", "message": "send at least one part"}],
        )
    for part_place, part in enumerate(message.content):
        if isinstance(part, MediaPart) and isinstance(part.source, FileSource):
            raise InvalidRequest(
                "This service does not store files. Send the media inline, as a source of type 'data'.",
                errors=_inline(place, part_place),
            )
        if isinstance(part, MediaPart) and isinstance(part.source, UrlSource):
            raise UrlNotAllowed(
                "The service does not fetch media by URL. Send the media inline, as a source of type 'data'.",
                errors=_inline(place, part_place),
            )


def _inline(place: int, part_place: int) -> list[dict[str, str]]:
    pointer = f"/messages/{place}/content/{part_place}/source"
    return [{"pointer": pointer, "message": "use a 'data' source"}]
