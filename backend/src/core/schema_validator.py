"""Validates values against JSON Schemas from outside, in bounded time.

Schemas come from client tools, MCP servers and users; models write the values. A malicious schema can make the stock
validator of ``jsonschema`` fetch a ``$ref`` from any address, or compute for minutes: by a ``pattern`` that backtracks,
by ``uniqueItems`` over objects, or by references that double. The validator of this module

* has a budget: every applied keyword costs its size, and after ``MAX_STEPS`` the value counts as invalid;
* matches patterns with RE2, in linear time. Patterns that RE2 does not support (lookahead, backreferences), and
  patterns that need more than 64 KiB there, are not checked;
* follows references inside the schema only.

``jsonschema.validate`` finds this validator by ``$schema``. So other code uses it too, for every schema from
:func:`bounded`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, cast

import re2
from jsonschema import Draft202012Validator, ValidationError, validators
from referencing.exceptions import Unresolvable

SCHEMA_URI = "urn:agentroute:bounded"
"""Value of ``$schema`` that selects this validator. Never sent to a model."""
MAX_STEPS = 50_000
"""About 0.2 s. An array of a thousand usual objects takes about ten thousand steps."""
TOO_LARGE = "The value is too large to be checked against its schema. Send less."
_PATTERN_BYTES = 1 << 16
"""Bounds the time that RE2 takes for a pattern. With 1 MiB, `\\pL{1,64}` took 30 ms to be refused, and `[a-z]{1,99}`
ninety times took half a second to be compiled."""

_left: ContextVar[list[int] | None] = ContextVar("schema_steps_left", default=None)
_Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


class PatternUnknown(ValueError):
    """The pattern uses a feature that RE2 does not support, or needs too much memory there."""


def compile_pattern(pattern: str) -> Any:
    """Compile a pattern for matching in linear time.

    Raises:
        PatternUnknown: RE2 cannot compile it, or its program is too large (`^\\pL{1,64}$`, whose class has hundreds of
            ranges).
    """
    compiled = _compiled(pattern)
    if isinstance(compiled, str):
        raise PatternUnknown(compiled)
    return compiled


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:
    """Return the compiled pattern, or why there is none: a cache does not keep exceptions."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _PATTERN_BYTES
    try:
        return re2.compile(pattern, options=options)
    except re2.error as exc:
        return str(exc)


def bounded(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema, marked for this module's validator."""
    return {**schema, "$schema": SCHEMA_URI}


def errors_of(schema: Any, value: Any) -> list[ValidationError]:
    """Return the problems of a value; empty if the value is valid."""
    return list(BoundedValidator(schema).iter_errors(value))


def _matches(pattern: str, text: str) -> bool | None:
    """Return whether a pattern matches a text; ``None`` if this cannot be checked."""
    try:
        # Lone surrogates are legal in JSON, and RE2 reads UTF-8.
        return compile_pattern(pattern).search(text.encode("utf-8", "replace").decode()) is not None
    except PatternUnknown:
        return None


def _pattern(validator: Any, pattern: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str):
        _spend(len(instance) // 64)
    if isinstance(instance, str) and isinstance(pattern, str) and _matches(pattern, instance) is False:
        yield ValidationError(f"{_shown(instance)} does not match {_shown(pattern)}")


def _pattern_properties(
    validator: Any, by_pattern: Any, instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    for pattern, subschema in by_pattern.items():
        _spend(len(instance))
        for name, value in instance.items():
            if _matches(pattern, name):
                yield from validator.descend(value, subschema, path=name, schema_path=pattern)


def _additional_properties(
    validator: Any, allowed: Any, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    named = schema.get("properties", {})
    patterns = list(schema.get("patternProperties", {}))
    _spend(len(instance) * (1 + len(patterns)))
    for name, value in instance.items():
        # A name that may match a pattern that cannot be checked counts as valid.
        if name in named or any(_matches(pattern, name) in (True, None) for pattern in patterns):
            continue
        if allowed is False:
            yield ValidationError(f"The property {_shown(name)} is not allowed")
        else:
            yield from validator.descend(value, allowed, path=name)


def _items(validator: Any, items: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, list):
        return
    if isinstance(items, list):  # up to draft 2019-09
        for place, (subschema, value) in enumerate(zip(items, instance, strict=False)):
            yield from validator.descend(value, subschema, path=place, schema_path=place)
        for place, value in enumerate(instance[len(items) :], start=len(items)):
            yield from validator.descend(value, schema.get("additionalItems", True), path=place)
        return
    first = len(schema.get("prefixItems", []))
    for place, value in enumerate(instance[first:], start=first):
        yield from validator.descend(value, items, path=place)


def _minimum(_validator: Any, minimum: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    # In draft 4 the neighbour is a flag: the bound itself does not fit.
    strict = schema.get("exclusiveMinimum") is True
    if _is_number(instance) and (instance < minimum or (strict and instance == minimum)):
        yield ValidationError(f"{instance!r} is less than the minimum of {minimum!r}")


def _maximum(_validator: Any, maximum: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    strict = schema.get("exclusiveMaximum") is True
    if _is_number(instance) and (instance > maximum or (strict and instance == maximum)):
        yield ValidationError(f"{instance!r} is greater than the maximum of {maximum!r}")


def _exclusive_minimum(
    _validator: Any, minimum: Any, instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    if _is_number(minimum) and _is_number(instance) and instance <= minimum:
        yield ValidationError(f"{instance!r} is not greater than {minimum!r}")


def _exclusive_maximum(
    _validator: Any, maximum: Any, instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    if _is_number(maximum) and _is_number(instance) and instance >= maximum:
        yield ValidationError(f"{instance!r} is not less than {maximum!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _dependencies(validator: Any, by_name: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    """Check a keyword that draft 2019-09 parted into two."""
    if not isinstance(instance, dict):
        return
    for name, wanted in by_name.items():
        if name not in instance:
            continue
        if not isinstance(wanted, list):
            yield from validator.descend(instance, wanted, schema_path=name)
        elif missing := [other for other in wanted if other not in instance]:
            yield ValidationError(f"{_shown(missing[0])} is needed beside {_shown(name)}")


def _unique_items(validator: Any, unique: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if unique is True and isinstance(instance, list):
        _spend(len(instance))
        if len({json.dumps(value, sort_keys=True) for value in instance}) < len(instance):
            yield ValidationError("The array has elements that are not unique")


def _ref(validator: Any, ref: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    # Only inside the schema: the stock keyword fetches every other address.
    if not isinstance(ref, str) or not ref.startswith("#"):
        yield ValidationError("The schema refers to something outside itself, which is never fetched")
        return
    try:
        yield from validator._validate_reference(ref=ref, instance=instance)
    except Unresolvable:
        yield ValidationError(f"The schema refers to {_shown(ref)}, which it does not have")


def _spend(steps: int) -> None:
    left = _left.get()
    if left is None:
        return
    left[0] -= steps
    if left[0] < 0:
        raise ValidationError(TOO_LARGE)


def _counted(keyword: _Keyword) -> _Keyword:
    def apply(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        # A step is some microseconds: a keyword, eight comparisons, 64 characters for a pattern, half an error.
        _spend(1 + (len(value) // 8 if isinstance(value, list | dict) else 0))
        for error in keyword(validator, value, instance, schema) or ():
            _spend(2)
            yield error

    return apply


def _shown(text: str) -> str:
    return json.dumps(text if len(text) <= 80 else text[:80] + "...", ensure_ascii=False)


_OWN: dict[str, _Keyword] = {
    "$ref": _ref,
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "items": _items,
    "uniqueItems": _unique_items,
    "minimum": _minimum,
    "maximum": _maximum,
    "exclusiveMinimum": _exclusive_minimum,
    "exclusiveMaximum": _exclusive_maximum,
}
# `unevaluated*` evaluates everything once more at each level; `$dynamicRef` leaves the schema.
_UNCHECKED = {"unevaluatedItems", "unevaluatedProperties", "$dynamicRef", "format"}
_KEYWORDS: Any = {
    name: _counted(_OWN.get(name) or cast("_Keyword", keyword))
    for name, keyword in Draft202012Validator.VALIDATORS.items()
    if name not in _UNCHECKED
} | {"dependencies": _counted(_dependencies)}

BoundedValidator: Any = validators.create(
    meta_schema={"$id": SCHEMA_URI, "type": ["object", "boolean"]},
    validators=_KEYWORDS,
    version="bounded",
    type_checker=Draft202012Validator.TYPE_CHECKER,
)
_unbounded_errors = BoundedValidator.iter_errors


def _iter_errors(self: Any, instance: Any) -> Iterator[ValidationError]:
    """Yield the problems. The outermost call creates the budget."""
    if _left.get() is not None:
        yield from _unbounded_errors(self, instance)
        return
    _left.set([MAX_STEPS])
    try:
        # Collected in a list: an unfinished generator would keep the budget of another call.
        errors = list(_unbounded_errors(self, instance))
    except ValidationError as exc:
        errors = [exc]
    except RecursionError:
        errors = [ValidationError(TOO_LARGE)]
    finally:
        _left.set(None)
    yield from errors


BoundedValidator.iter_errors = _iter_errors
