"""The limits of one command: messages, text and client tools."""

from __future__ import annotations

from collections.abc import Sequence

from core.agentscope.schemas.agent_runtime import RunCommand
from core.agentscope.schemas.messages import ContentPart, TextPart, ToolMessage, UserMessage
from core.config import LimitSettings
from core.errors import LimitExceeded
from core.schema_problems import schema_problems, size_of
from core.validation import from_errors

MAX_SCHEMA_BYTES = 256 * 1024
"""Maximum size of all tools of a request together. Checking this size takes about 0.1 s of the event loop."""
MAX_ANSWERS = 1000
"""Maximum number of answers in ``resume``: more than the calls of any run."""


def check_limits(command: RunCommand, limits: LimitSettings) -> None:
    """Refuse a command with more messages, tools or text than is allowed.

    Only ``user`` and ``tool`` messages are measured, because the service ignores all other messages of a client. Known
    messages are measured together with new ones; they passed the same limit when they were new. Inline media counts
    only towards the limit of the body.

    Raises:
        LimitExceeded: With a pointer to the place.
    """
    _check_count("messages", len(command.messages), limits.max_messages)
    _check_count("tools", len(command.tools), limits.max_tools)
    _check_count("resume", len(command.resume), MAX_ANSWERS)
    for index, message in enumerate(command.messages):
        if isinstance(message, UserMessage | ToolMessage):
            size = _text_bytes(message.content)
            if size > limits.max_message_bytes:
                raise _exceeded(
                    f"/messages/{index}/content",
                    size,
                    limits.max_message_bytes,
                    "bytes of text in one message",
                )


def check_tools(command: RunCommand) -> None:
    """Refuse client tools whose schemas are invalid, refer to something outside, or are too expensive to use.

    Raises:
        LimitExceeded: The schemas are too large together.
        InvalidRequest: With a pointer to each place.
    """
    size = sum(size_of(tool.parameters) + len(tool.description.encode()) for tool in command.tools)
    if size > MAX_SCHEMA_BYTES:
        raise _exceeded("/tools", size, MAX_SCHEMA_BYTES, "bytes of tool descriptions and parameters")
    errors = [
        {"pointer": f"/tools/{index}/parameters{problem.pointer}", "message": problem.message}
        for index, tool in enumerate(command.tools)
        for problem in schema_problems(tool.parameters)
    ]
    if errors:
        raise from_errors(errors)


def _check_count(member: str, count: int, most: int) -> None:
    if count > most:
        raise _exceeded(f"/{member}", count, most, member)


def _exceeded(pointer: str, size: int, most: int, what: str) -> LimitExceeded:
    message = f"{size} {what}; at most {most} are allowed"
    return LimitExceeded(f"The request has {message}.", errors=[{"pointer": pointer, "message": message}])


def _text_bytes(content: str | Sequence[ContentPart]) -> int:
    if isinstance(content, str):
        return len(content.encode())
    return sum(len(part.text.encode()) for part in content if isinstance(part, TextPart))
