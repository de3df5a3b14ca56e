"""Turns pydantic's report on a profile into one line: the key, the mistake, and what is allowed."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError


class ProfileInvalid(ValueError):
    """The profile cannot be used. Raised at start; the message is for the operator."""


def describe(error: ValidationError, model: type[BaseModel]) -> str:
    """Describe the first mistake, and say how many more there are.

    Args:
        error: What pydantic found.
        model: The model the content was checked against, for what is allowed in a section.
    """
    # Unknown keys first: a misspelt key is also a missing one.
    first, *rest = sorted(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    more = f" (and {len(rest)} more)" if rest else ""
    where = _key(first["loc"])
    return f"{where}: {_what(first, model)}{more}" if where else f"{_message(first)}{more}"


def _what(error: Any, model: type[BaseModel]) -> str:
    # Only of these two: what is in an array of texts is in no section.
    if error["type"] == "extra_forbidden":
        return f"unknown key; allowed: {', '.join(_keys(_section(model, error['loc'][:-1])))}"
    if error["type"] == "missing":
        allowed = _values(_section(model, error["loc"][:-1]), error["loc"][-1])
        return f"is missing; allowed: {', '.join(allowed)}" if allowed else "is missing"
    return _message(error)


def _message(error: Any) -> str:
    text: str = error["msg"].removeprefix("Value error, ").replace("tuple", "array")
    return text[:1].lower() + text[1:]


def _key(location: tuple[str | int, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location).lstrip(".")


def _section(model: type[BaseModel], location: tuple[str | int, ...]) -> type[BaseModel]:
    for step in location:
        if isinstance(step, str):
            annotation = _field(model, step)
            # The members of a table of plain values, such as headers, are no section.
            model = next((part for part in (annotation, *get_args(annotation)) if _is_model(part)), model)
    return model


def _field(model: type[BaseModel], key: str) -> Any:
    fields = model.model_fields.items()
    return next(field.annotation for name, field in fields if key == (field.alias or name))


def _is_model(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, BaseModel)


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _values(model: type[BaseModel], key: str) -> list[str]:
    annotation = _field(model, key)
    return [repr(value) for value in get_args(annotation)] if get_origin(annotation) is Literal else []
