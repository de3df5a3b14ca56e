"""Turns pydantic's errors into the ``errors`` list of a problem document.

An input value is never repeated, because a body may contain secrets that must not be logged.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from core.errors import InvalidRequest

# 20: enough to correct a request, too few to make the answer much larger than the request.
_MAX_ERRORS = 20
_MAX_MESSAGE = 200
# The branches of a union repeat an error. A body with thousands of wrong entries is described by its first ones.
_MAX_PROBLEMS = 20 * _MAX_ERRORS

# pydantic's own messages mention tags and repeat the tag that was sent.
_WORDS = {
    "union_tag_not_found": "The member {discriminator} is missing.",
    "union_tag_invalid": "The member {discriminator} must be one of {expected_tags}.",
}

# Locations are short, and few of their tags are names of members, too.
_MAX_PLACES = 64
_UNKNOWN = object()

ModelT = TypeVar("ModelT", bound=BaseModel)
Read = TypeVar("Read")


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


def read_parameter(name: str, text: str | None, read: Callable[[str], Read]) -> Read | None:
    """Return what a parameter of the query says; ``None`` if it is absent.

    Args:
        name: Of the parameter.
        text: As it was sent.
        read: Reads it. The text of its ``ValueError`` is for the caller.

    Raises:
        InvalidRequest: ``read`` has refused it.
    """
    try:
        return None if text is None else read(text)
    except ValueError as exc:
        raise InvalidRequest(
            f"'{name}' is {exc}.", errors=[{"pointer": f"/query/{name}", "message": str(exc)}]
        ) from exc


def invalid_request(exc: ValidationError, value: Any, *, prefix: str = "") -> InvalidRequest:
    """Describe a failed validation of ``value``."""
    problems = exc.errors(include_url=False)[:_MAX_PROBLEMS]
    found = [
        {
            "pointer": prefix
            + pointer(
                problem["loc"],
                value,
                missing=problem["type"] == "missing",
                wrong=problem.get("input", _UNKNOWN),
            ),
            "message": _message(problem)[:_MAX_MESSAGE],
        }
        for problem in problems
    ]
    return from_errors(found)


def _message(problem: ErrorDetails) -> str:
    words = _WORDS.get(problem["type"])
    if words is not None:
        return words.format_map(problem.get("ctx", {}))
    # What a check of ours says is a sentence without pydantic's name for it.
    return problem["msg"].removeprefix("Value error, ")


def from_errors(found: Iterable[dict[str, str]]) -> InvalidRequest:
    """Build the error from entries without duplicates: the branches of a union often report the same error."""
    unique = {(entry["pointer"], entry["message"]): entry for entry in found}
    errors = list(unique.values())[:_MAX_ERRORS]
    places = ", ".join(entry["pointer"] or "the body" for entry in errors[:3])
    return InvalidRequest(f"The request is invalid at {places}." if places else "", errors=errors)


def pointer(loc: Sequence[int | str], value: Any, *, missing: bool = False, wrong: Any = _UNKNOWN) -> str:
    """Return the JSON pointer (RFC 6901) of a pydantic location.

    pydantic mixes the tags of unions into a location (``messages, 0, user, content, str``), and a tag may also be the
    name of a member. So of all places that the location can mean, the one that holds the wrong value is taken.

    Args:
        loc: The location.
        value: What was validated.
        missing: The last step names a member that is missing.
        wrong: What pydantic found wrong: the value, or the object that lacks the member. If absent, every step that
            exists in ``value`` counts.
    """
    absent = loc[-1:] if missing else ()
    places = itertools.islice(_places(loc[: len(loc) - len(absent)], value), _MAX_PLACES)
    steps = max(places, key=lambda place: _likeness(place[1], wrong))[0]
    return "".join("/" + escape(step) for step in (*steps, *absent))


def _places(loc: Sequence[int | str], node: Any) -> Iterator[tuple[tuple[int | str, ...], Any]]:
    """Yield the places that a location can mean, with what is there; first the one with the most steps."""
    if not loc:
        yield (), node
        return
    step, rest = loc[0], loc[1:]
    if _has(node, step):
        for steps, found in _places(rest, node[step]):
            yield (step, *steps), found
    if isinstance(step, str):
        yield from _places(rest, node)


def _likeness(found: Any, wrong: Any) -> int:
    if found is wrong:
        return 3
    if isinstance(found, dict) and isinstance(wrong, dict):
        # The model may have got a copy, without nulls and with what older forms mean.
        return 2 if found == wrong else int(bool(found.keys() & wrong.keys()))
    return 2 * int(type(found) is type(wrong) and found == wrong)


def _has(node: Any, step: int | str) -> bool:
    if isinstance(node, list):
        return isinstance(step, int) and step < len(node)
    return isinstance(node, dict) and step in node


def escape(step: int | str) -> str:
    """Return one reference token of a JSON pointer."""
    return str(step).replace("~", "~0").replace("/", "~1")
