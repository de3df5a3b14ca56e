"""Invalid arguments as a text for the model: which argument, and what is wrong with it."""

from __future__ import annotations

from pydantic import ValidationError

_MOST_ERRORS = 10


def describe_argument_errors(tool_name: str, error: ValidationError) -> str:
    """List every invalid argument, one per line. The values are omitted: they may be long or private."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    lines = [f"Invalid arguments for {tool_name}:"]
    for item in found[:_MOST_ERRORS]:
        path = ".".join(str(part) for part in item["loc"]) or "arguments"
        lines.append(f"- {path}: {item['msg']}")
    if len(found) > _MOST_ERRORS:
        lines.append(f"- and {len(found) - _MOST_ERRORS} more")
    return "\n".join(lines)
