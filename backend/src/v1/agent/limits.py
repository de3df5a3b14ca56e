"""The limits of one request: entries of its body, text of its messages, client tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.agentscope.schemas.agent_runtime import RunCommand
from core.agentscope.schemas.messages import ContentPart, TextPart, ToolMessage, UserMessage
from core.config import LimitSettings
from core.errors import LimitExceeded
from core.schema_flattening import FlatBudget
from core.schema_patterns import PatternBudget
from core.schema_problems import schema_problems, size_of
from core.validation import from_errors

MAX_SCHEMA_BYTES = 256 * 1024
"""Maximum size of all tools of a request together. Checking this size takes about 0.1 s, without patterns."""
MAX_FLAT_BYTES = 2 * MAX_SCHEMA_BYTES
"""The same with references replaced, which takes about 0.2 s more: a reference can repeat a schema many times."""
MAX_ANSWERS = 1000
"""Maximum number of answers in ``resume``: more than the calls of any run."""


MAX_CONTEXT = 1000
"""Maximum number of entries in ``context``."""
MAX_PARTS = 10_000
"""Maximum number of content parts in all messages of a request together."""


def check_counts(body: Any, limits: LimitSettings) -> None:
    """Refuse a body with more entries than is allowed, before a model is built or an error is written for each of them.

    Validation of 190,000 wrong entries takes seconds of the event loop; counting them takes milliseconds.

    Args:
        body: JSON as ``core.json_body`` returns it, of any form. Wrong types are left to the models.
        limits: Of a request.

    Raises:
        LimitExceeded: With a pointer to the place.
    """
    if not isinstance(body, dict):
        return
    most = {
        "messages": limits.max_messages,
        "tools": limits.max_tools,
        "context": MAX_CONTEXT,
        "resume": MAX_ANSWERS,
    }
    for member, allowed in most.items():
        if isinstance(entries := body.get(member), list) and len(entries) > allowed:
            raise _exceeded(f"/{member}", len(entries), allowed, member)
    _check_parts(body.get("messages"))


def _check_parts(messages: Any) -> None:
    count = 0
    entries: list[Any] = messages if isinstance(messages, list) else []
    for index, message in enumerate(entries):
        members: dict[str, Any] = message if isinstance(message, dict) else {}
        for member in ("content", "toolCalls", "tool_calls"):
            parts = members.get(member)
            count += len(parts) if isinstance(parts, list) else 0
            if count > MAX_PARTS:
                raise _exceeded(
                    f"/messages/{index}/{member}", count, MAX_PARTS, "parts of messages up to here"
                )


def check_message_sizes(command: RunCommand, limits: LimitSettings) -> None:
    """Refuse a message with more text than is allowed. How many entries there are, :func:`check_counts` says.

    Only ``user`` and ``tool`` messages are measured, because the service ignores all other messages of a client. Known
    messages are measured together with new ones; they passed the same limit when they were new. Inline media counts
    only towards the limit of the body.

    Raises:
        LimitExceeded: With a pointer to the place.
    """
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
        InvalidRequest: With a pointer to each place in the first such tool.
    """
    size = sum(size_of(tool.parameters) + len(tool.description.encode()) for tool in command.tools)
    if size > MAX_SCHEMA_BYTES:
        raise _exceeded("/tools", size, MAX_SCHEMA_BYTES, "bytes of tool descriptions and parameters")
    budget, patterns = FlatBudget(MAX_FLAT_BYTES), PatternBudget()
    for index, tool in enumerate(command.tools):
        errors = [
            {"pointer": f"/tools/{index}/parameters{problem.pointer}", "message": problem.message}
            for problem in schema_problems(tool.parameters, budget, patterns)
        ]
        if errors:
            # The first tool that cannot be used is enough: each of them may cost as much as a whole request.
            raise from_errors(errors)


def _exceeded(pointer: str, size: int, most: int, what: str) -> LimitExceeded:
    message = f"{size} {what}; at most {most} are allowed"
    return LimitExceeded(f"The request has {message}.", errors=[{"pointer": pointer, "message": message}])


def _text_bytes(content: str | Sequence[ContentPart]) -> int:
    if isinstance(content, str):
        return len(content.encode())
    return sum(len(part.text.encode()) for part in content if isinstance(part, TextPart))
