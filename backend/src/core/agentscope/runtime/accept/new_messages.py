"""Which messages of a request count: the server's history is the authority.

Stock AG-UI clients send the whole conversation with every run. The rules are:

* User messages with a new id, and tool messages that answer an open client tool call, are accepted.
* The first run of a new thread may include an earlier text conversation. The tool calls and results in it stay with the
  client, which sends them again with every run.
* A late tool message, for a call of this thread that is no longer open, is ignored.
* A tool message for a call that never existed is refused, if the call could be one of this service.
* A user message without an id counts if no answer follows it. An earlier one has been answered.
* Everything else is ignored, whatever its form.

Pure: the known ids and the calls are arguments.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from core.agentscope.runtime.accept.new_attachments import check_attachments, without_mirrors
from core.agentscope.schemas.message_ids import repeated_id
from core.agentscope.schemas.messages import (
    AssistantMessage,
    ForeignMessage,
    Message,
    ToolMessage,
    UserMessage,
)
from core.errors import InvalidRequest
from core.validation import invalid_request


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
    run_id: str | None = None,
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
        run_id: The run that answers. The last message may then say again what an earlier one said, if both came
            without an id. ``None``: it is the earlier one.

    Raises:
        InvalidRequest: A new tool message answers no call of this thread, answers one in two ways,
            or comes too late with nothing else to answer beside it; a new message is not in AG-UI's form, or empty.
        AttachmentUnsupported, LimitExceeded: A new user message has an attachment that no model can be given.
        UrlNotAllowed: A new user message refers to media by URL.
    """
    imported: list[UserMessage | AssistantMessage] = []
    fresh: dict[int, UserMessage | ToolMessage] = {}
    seen = set(known_ids)
    answers: dict[str, ToolMessage] = {}
    late: list[int] = []
    elsewhere: set[str] = set()
    """Calls of answers that are not of this thread: their results answer nothing here."""
    last_answer = _last_answer(messages)
    for place, message in enumerate(_said_again(messages, seen, run_id)):
        if message.id in seen:
            continue
        match message:
            case UserMessage() if message.has_made_id and place < last_answer and not thread_is_new:
                continue
            case UserMessage():
                fresh[place] = without_mirrors(message)
            case AssistantMessage(tool_calls=None | [], content=str()) if thread_is_new:
                # What came before this answer was answered: only what follows is new.
                imported += [item for item in fresh.values() if isinstance(item, UserMessage)]
                imported.append(message)
                fresh = {}
            case AssistantMessage():
                elsewhere.update(call.id for call in message.tool_calls or ())
                continue
            case ForeignMessage() if message.tool_call_id in open_tool_calls:
                raise _not_in_form(message, place)
            case ForeignMessage():
                elsewhere.update(message.call_ids)
                continue
            case ToolMessage() if message.tool_call_id in answers:
                if strict_tool_results and message.content != answers[message.tool_call_id].content:
                    raise _no_answer(place)
                continue
            case ToolMessage() if message.tool_call_id in open_tool_calls:
                answers[message.tool_call_id] = message
                fresh[place] = message
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
    _check_attachments(fresh)
    return NewMessages(tuple(imported), tuple(fresh.values()))


def _check_attachments(fresh: Mapping[int, UserMessage | ToolMessage]) -> None:
    for place, message in fresh.items():
        if isinstance(message, UserMessage):
            check_attachments(message, f"/messages/{place}/content")


def _last_answer(messages: Sequence[Message]) -> int:
    """Return the place of the last message that the user did not write; -1 when the user wrote all of them."""
    answers = (place for place, message in enumerate(messages) if message.role in {"assistant", "tool"})
    return max(answers, default=-1)


def _said_again(messages: Sequence[Message], seen: Collection[str], run_id: str | None) -> Iterator[Message]:
    """Yield the messages. The last one gets another id when it came without one and its words are not new."""
    last = len(messages) - 1
    for place, message in enumerate(messages):
        again = run_id is not None and place == last and message.id in seen
        if again and run_id and isinstance(message, UserMessage) and message.has_made_id:
            yield message.model_copy(update={"id": repeated_id(message.id, run_id)})
        else:
            yield message


def _not_in_form(message: ForeignMessage, place: int) -> InvalidRequest:
    error, sent = message.refusal
    return invalid_request(error, sent, prefix=f"/messages/{place}")


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
