"""JSON Patch (RFC 6902), the mirror of the Flutter app's ``domain/json_patch.dart``. Pure: nothing is changed in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class PatchError(ValueError):
    """An operation does not fit the document."""


def apply_patch(document: Any, operations: Sequence[Mapping[str, Any]]) -> Any:
    """Return the document after all operations.

    Raises:
        PatchError: One of them does not fit. Nothing has changed then.
    """
    for operation in operations:
        document = _applied(document, operation)
    return document


def same_json(left: Any, right: Any) -> bool:
    """Say whether two JSON values are equal: numbers by value, objects in any order."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same_json(left[name], right[name]) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(
            same_json(one, other) for one, other in zip(left, right, strict=True)
        )
    # True is 1 for Python, and not in JSON.
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def _applied(document: Any, operation: Mapping[str, Any]) -> Any:
    path = _tokens(operation.get("path"))
    match operation.get("op"):
        case "add":
            return _added(document, path, _value(operation))
        case "remove":
            return _removed(document, path)
        case "replace":
            return _replaced(document, path, _value(operation))
        case "move":
            origin = _tokens(operation.get("from"))
            if len(origin) < len(path) and path[: len(origin)] == origin:
                raise PatchError("a value cannot move into itself")
            return _added(_removed(document, origin), path, _found(document, origin))
        case "copy":
            return _added(document, path, _found(document, _tokens(operation.get("from"))))
        case "test":
            if not same_json(_found(document, path), _value(operation)):
                raise PatchError("a test failed")
            return document
        case _:
            raise PatchError("an unknown operation")


def _value(operation: Mapping[str, Any]) -> Any:
    if "value" not in operation:
        raise PatchError("an operation has no value")
    return operation["value"]


def _tokens(pointer: Any) -> list[str]:
    """Return the names of a JSON Pointer (RFC 6901)."""
    if not isinstance(pointer, str) or (pointer != "" and not pointer.startswith("/")):
        raise PatchError("no JSON Pointer")
    if pointer == "":
        return []
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/")]


def _place(token: str, length: int) -> int:
    """Return the place in a list, at most ``length``."""
    place = int(token) if token.isascii() and token.isdigit() else -1
    if place < 0 or place > length or token != str(place):
        raise PatchError("no place in the list")
    return place


def _found(document: Any, path: Sequence[str]) -> Any:
    for token in path:
        if isinstance(document, dict) and token in document:
            document = document[token]
        elif isinstance(document, list):
            document = document[_place(token, len(document) - 1)]
        else:
            raise PatchError("nothing is there")
    return document


def _added(document: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    token, rest = path[0], path[1:]
    if isinstance(document, dict):
        return {**document, token: _added(_member(document, token), rest, value) if rest else value}
    if isinstance(document, list):
        if rest:
            place = _place(token, len(document) - 1)
            return [*document[:place], _added(document[place], rest, value), *document[place + 1 :]]
        place = len(document) if token == "-" else _place(token, len(document))
        return [*document[:place], value, *document[place:]]
    raise PatchError("nothing is there")


def _removed(document: Any, path: Sequence[str]) -> Any:
    if not path:
        return None
    token, rest = path[0], path[1:]
    if isinstance(document, dict):
        member = _member(document, token)
        if rest:
            return {**document, token: _removed(member, rest)}
        return {name: value for name, value in document.items() if name != token}
    if isinstance(document, list):
        place = _place(token, len(document) - 1)
        kept = [_removed(document[place], rest)] if rest else []
        return [*document[:place], *kept, *document[place + 1 :]]
    raise PatchError("nothing is there")


def _replaced(document: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    token, rest = path[0], path[1:]
    if isinstance(document, dict):
        return {**document, token: _replaced(_member(document, token), rest, value)}
    if isinstance(document, list):
        place = _place(token, len(document) - 1)
        return [*document[:place], _replaced(document[place], rest, value), *document[place + 1 :]]
    raise PatchError("nothing is there")


def _member(document: Mapping[str, Any], token: str) -> Any:
    if token not in document:
        raise PatchError("nothing is there")
    return document[token]
