"""Turns pydantic's errors into the ``errors`` list of a problem document.

An input value is never repeated, because a body may contain secrets that must not be logged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from core.errors import InvalidRequest

# 20: enough to correct a request, too few to make the answer much larger than the request.
_MAX_ERRORS = 20
_MAX_MESSAGE = 200

# pydantic's own messages mention tags and repeat the tag that was sent.
_WORDS = {
    "union_tag_not_found": "The member {discriminator} is missing.",
    "union_tag_invalid": "The member {discriminator} must be one of {expected_tags}.",
}

ModelT = TypeVar("ModelT", bound=BaseModel)


def parse(model: type[ModelT], value: Any, *, prefix: str = "") -> ModelT:
    """Validate a JSON value.

    Args:
        model: What the value must be.
        value: JSON as ``core.json_body`` returns it.
        prefix: JSON pointer of the value inside the body.

    Raises:
        InvalidRequest: The value is not valid; ``errors`` has JSON pointers into the body.
    """
    try:
        return model.model_validate(value)
    except ValidationError as exc:
        raise invalid_request(exc, value, prefix=prefix) from exc


def invalid_request(exc: ValidationError, value: Any, *, prefix: str = "") -> InvalidRequest:
    """Describe a failed validation of ``value``."""
    problems = exc.errors(include_url=False, include_input=False)
    found = [
        {
            "pointer": prefix + pointer(problem["loc"], value, missing=problem["type"] == "missing"),
            "message": _message(problem)[:_MAX_MESSAGE],
        }
        for problem in problems
    ]
    return from_errors(found)


def _message(problem: ErrorDetails) -> str:
    words = _WORDS.get(problem["type"])
    return problem["msg"] if words is None else words.format_map(problem.get("ctx", {}))


def from_errors(found: Iterable[dict[str, str]]) -> InvalidRequest:
    """Build the error from entries without duplicates: the branches of a union often report the same error."""
    unique = {(entry["pointer"], entry["message"]): entry for entry in found}
    errors = list(unique.values())[:_MAX_ERRORS]
    places = ", ".join(entry["pointer"] or "the body" for entry in errors[:3])
    return InvalidRequest(f"The request is invalid at {places}." if places else "", errors=errors)


def pointer(loc: Sequence[int | str], value: Any, *, missing: bool = False) -> str:
    """Return the JSON pointer (RFC 6901) of a pydantic location.

    pydantic mixes the tags of unions into a location (``messages, 0, user,
    content, str``); only steps that exist in ``value`` are kept, and the last
    one when it names what is missing.
    """
    steps: list[int | str] = []
    node = value
    for position, step in enumerate(loc):
        if _has(node, step):
            node = node[step]
        elif not (missing and position == len(loc) - 1):
            continue
        steps.append(step)
    return "".join("/" + escape(step) for step in steps)


def _has(node: Any, step: int | str) -> bool:
    if isinstance(node, list):
        return isinstance(step, int) and step < len(node)
    return isinstance(node, dict) and step in node


def escape(step: int | str) -> str:
    """Return one reference token of a JSON pointer."""
    return str(step).replace("~", "~0").replace("/", "~1")
