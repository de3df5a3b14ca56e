"""Reads JSON of the service into dataclasses. Newer services may send more than is known here, and it does not matter.

Members are camelCase on the wire and snake_case in Python. Members that are not known are ignored. A member may be absent
or null if its field has a default.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
Reader = Callable[[Any], Any]


class WireFormError(ValueError):
    """The JSON does not have the form that it should have."""


def parse(text: str | bytes) -> Any:
    """Return the JSON value of a text.

    Raises:
        WireFormError: It is not JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise WireFormError("it is not JSON") from exc


def read(kind: type[T], value: Any, **more: Any) -> T:
    """Return an object of a dataclass.

    Args:
        kind: The dataclass.
        value: A JSON object.
        more: Fields that are not members of the object.

    Raises:
        WireFormError: A member is missing, or is of another type.
    """
    if not isinstance(value, Mapping):
        raise WireFormError(f"{kind.__name__} is no object")
    fields = dict(more)
    for name, wire_name, reader, is_optional in _plan(kind):
        if name in more:
            continue
        found = value.get(wire_name)
        if found is None and is_optional:
            continue
        if found is None and wire_name not in value:
            raise WireFormError(f"{kind.__name__} has no {wire_name}")
        fields[name] = reader(found)
    return kind(**fields)


def wire_name(name: str) -> str:
    """Return the name on the wire of a field."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


@cache
def _plan(kind: type[Any]) -> list[tuple[str, str, Reader, bool]]:
    hints = get_type_hints(kind)
    return [
        (
            field.name,
            field.metadata.get("wire", wire_name(field.name)),
            _reader(hints[field.name]),
            field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING,
        )
        for field in dataclasses.fields(kind)
        if field.init
    ]


def _reader(hint: Any) -> Reader:
    origin = get_origin(hint)
    if hint is Any:
        return lambda value: value
    if origin in (Union, types.UnionType):
        (inner,) = (each for each in get_args(hint) if each is not types.NoneType)
        reader = _reader(inner)
        return lambda value: None if value is None else reader(value)
    if origin is tuple:
        return _many(_reader(get_args(hint)[0]))
    if origin is not None and issubclass(origin, Mapping):
        return _checked(Mapping)
    if dataclasses.is_dataclass(hint):
        return lambda value: read(hint, value)  # pyright: ignore[reportArgumentType]  a class
    if hint is datetime:
        return _datetime
    if hint is Decimal:
        return _decimal
    return _checked(hint)


def _checked(kind: Any) -> Reader:
    def reader(value: Any) -> Any:
        # A bool is an int for Python, and none in JSON.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise WireFormError(f"{value!r:.80} is no {kind.__name__}")
        return value

    return reader


def _many(reader: Reader) -> Reader:
    def readers(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise WireFormError(f"{value!r:.80} is no list")
        return tuple(reader(each) for each in value)

    return readers


def _datetime(value: Any) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError) as exc:
        raise WireFormError(f"{value!r:.80} is no time") from exc


def _decimal(value: Any) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation as exc:
        raise WireFormError(f"{value!r:.80} is no decimal number") from exc
