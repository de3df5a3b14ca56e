"""What a run is given: messages, parts, answers to questions, results of your own tools. Plain JSON objects, as AG-UI has them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from agentroute.client.answers import FileItem
from agentroute.client.events import Interrupt

Json = Mapping[str, Any]
Content = str | Sequence[Json]
"""A text, or parts: ``text_part``, ``file_part``."""
Upload = Path | bytes | BinaryIO
"""A file: its path, its bytes, or an open file."""

# The request has the new messages alone. A snapshot of the others would be told, and stored, with every run.
_OPTIONS: dict[str, Any] = {"messagesSnapshot": "never"}
_MEDIA_KINDS = ("image", "audio", "video")


def new_id(kind: str) -> str:
    """Return an id that nobody has used."""
    return f"{kind}-{uuid.uuid4().hex}"


def user_message(content: Content, message_id: str | None = None) -> Json:
    """Return a message of the user."""
    told = content if isinstance(content, str) else [dict(part) for part in content]
    return {"id": message_id or new_id("msg"), "role": "user", "content": told}


def text_part(text: str) -> Json:
    """Return a part of a message that is text."""
    return {"type": "text", "text": text}


def file_part(file: FileItem) -> Json:
    """Return a part of a message that names an uploaded file."""
    kind = file.media_type.partition("/")[0]
    source = {"type": "file", "value": file.file_id, "mimeType": file.media_type}
    return {"type": kind if kind in _MEDIA_KINDS else "document", "source": source}


def tool_result(tool_call_id: str, content: Any) -> Json:
    """Return the result of a call of your own tool, for the next run of the thread (``run(messages=[…])``).

    Args:
        tool_call_id: One of ``pending_tool_call_ids``.
        content: A text; anything else becomes JSON.
    """
    told = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    return {"id": new_id("msg"), "role": "tool", "toolCallId": tool_call_id, "content": told}


def approve(interrupt: Interrupt | str, arguments: Json | None = None) -> Json:
    """Return the answer that lets a call be made.

    Args:
        interrupt: The question, or its id.
        arguments: Other arguments for the call. Only if ``interrupt.is_editable``.
    """
    payload = {"approved": True} | ({} if arguments is None else {"input": dict(arguments)})
    return answer(interrupt, payload)


def decline(interrupt: Interrupt | str) -> Json:
    """Return the answer that declines. It fits every question."""
    return {"interruptId": _id(interrupt), "status": "cancelled"}


def answer(interrupt: Interrupt | str, payload: Any = None) -> Json:
    """Return any other answer: ``payload`` has the form of ``interrupt.response_schema``."""
    told = {} if payload is None else {"payload": payload}
    return {"interruptId": _id(interrupt), "status": "resolved", **told}


def run_body(
    content: Content | None,
    *,
    thread_id: str | None,
    run_id: str | None,
    messages: Iterable[Json],
    tools: Iterable[Json],
    context: Iterable[Json],
    state: Any,
    resume: Iterable[Json],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the body of a run. Its ids are set, so that it can be sent again and means the same run.

    Args:
        content: Of a new message of the user, behind ``messages``.
        thread_id: A new thread if absent.
        run_id: A new id if absent.
        messages: More messages, such as results of tools.
        tools: Your own tools: ``name``, ``description``, ``parameters``.
        context: ``description`` and ``value``.
        state: The shared state; absent if ``None``.
        resume: Answers to open questions.
        options: Members of ``forwardedProps``; those that are ``None`` are left away.
    """
    said = [dict(message) for message in messages]
    if content is not None:
        said.append(dict(user_message(content)))
    body: dict[str, Any] = {
        "threadId": thread_id or new_id("thread"),
        "runId": run_id or new_id("run"),
        "protocolVersion": "1.0",
        "messages": said,
        "tools": [dict(tool) for tool in tools],
        "context": [dict(item) for item in context],
        "forwardedProps": {
            name: value for name, value in (_OPTIONS | dict(options)).items() if value is not None
        },
    }
    if state is not None:
        body["state"] = state
    if answers := [dict(entry) for entry in resume]:
        body["resume"] = answers
    return body


def file_content(file: Upload, name: str | None) -> tuple[str, bytes]:
    """Return the name and the bytes of a file to upload."""
    if isinstance(file, Path):
        return name or file.name, file.read_bytes()
    if isinstance(file, bytes):
        return name or "file", file
    return name or Path(str(getattr(file, "name", "file"))).name, file.read()


def _id(interrupt: Interrupt | str) -> str:
    return interrupt if isinstance(interrupt, str) else interrupt.id
