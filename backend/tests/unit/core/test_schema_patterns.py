"""Patterns of others are checked at a cost that has a limit."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
import re2

from core import schema_patterns, schema_validator
from core.schema_patterns import MAX_PATTERN_UNITS, PatternBudget, pattern_problem, units_of
from core.schema_problems import schema_problems
from core.schema_validator import PatternUnknown, compile_pattern, errors_of


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What RE2 was asked to compile."""
    asked: list[str] = []
    original = re2.compile

    def note(pattern: str, options: Any) -> Any:
        asked.append(pattern)
        return original(pattern, options=options)

    monkeypatch.setattr(re2, "compile", note)
    schema_validator._compiled.cache_clear()
    return asked


@pytest.mark.parametrize("pattern", [r"^\pL{1,64}$", r"(a)\1", "(?=a)b"])
def test_a_pattern_that_re2_refuses_is_taken_unchecked_and_compiled_once(
    pattern: str, compiled: list[str]
) -> None:
    schema = {"properties": {"x": {"items": {"pattern": pattern}}}, "patternProperties": {pattern: {}}}

    assert schema_problems(schema) == []
    assert schema_problems(schema) == []
    assert errors_of(schema, {"x": ["1", "2", "3"]}) == []
    assert compiled == [pattern]


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        (r"^\d{4}-\d{2}-\d{2}$", "2026-11-27"),
        ("^[a-z]{1,64}-[0-9]{1,32}$", "build-17"),
        (r"^\pL+$", "größe"),
        (r"^[\p{L}\p{N} _-]+$", "größe 1"),
        (r"^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,255}\.[A-Za-z]{2,63}$", "ada@example.com"),
        (r"^[^\s]{1,200}$", "a" * 200),
    ],
)
def test_usual_patterns_are_checked(pattern: str, fits: str) -> None:
    assert pattern_problem(pattern, PatternBudget()) == ""
    assert compile_pattern(pattern).search(fits)
    assert not compile_pattern(pattern).search(" \n")
    assert units_of(pattern) <= 4


@pytest.mark.parametrize(
    ("pattern", "units"),
    [
        ("^a$", 1),
        (r"\pL" * 333, 343),
        (r"\PL|[^\p{Lu}]", 3),
        ("[a-z]{1,999}[a-z]{1,}", 11),
        ("a{5}", 1),
        ("a{" + "9" * 900 + "}", 20),
    ],
    ids=["short", "classes", "negated", "repetitions", "few", "absurd"],
)
def test_a_pattern_costs_what_re2_makes_of_it(pattern: str, units: int) -> None:
    assert units_of(pattern) == units


def test_nothing_is_compiled_beyond_the_budget(compiled: list[str]) -> None:
    patterns = [f"{count}$" for count in range(1100)]
    problems = schema_problems({"patternProperties": {pattern: {} for pattern in patterns}})

    assert problems[0].pointer == f"/patternProperties/{MAX_PATTERN_UNITS}$"
    assert "together with the patterns before it" in problems[0].message
    assert compiled == patterns[:MAX_PATTERN_UNITS]


@pytest.mark.parametrize(
    ("pattern", "usable"),
    [
        ("(?i)(?=a)" + "[!-\uffff]" * 190, True),
        ("(?i:(?=a)[一-龥])(?s-i:b)", True),
        ("(?=a)(?<年>a)-(?<月>b)", True),
        ("(?=a)[é-ü]", True),
        ("(?=a)[a-ü]", True),
        ("(?=a)[ü-é]", False),
        ("(?=a)(?iu)[", False),
    ],
    ids=["costly", "flags", "names", "range", "mixed", "reversed", "broken"],
)
def test_python_gets_only_what_it_compiles_quickly(
    pattern: str, usable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    compiles = schema_patterns._compiles

    def note(pattern: str) -> bool:
        asked.append(pattern)
        return compiles(pattern)

    monkeypatch.setattr(schema_patterns, "_compiles", note)
    schema_patterns._is_regular_expression.cache_clear()
    with pytest.raises(PatternUnknown):
        compile_pattern(pattern)

    assert (pattern_problem(pattern, PatternBudget()) == "") == usable
    # Others make Python look at each character of a range, up to all of Unicode.
    assert all(ord(character) < 256 for text in asked for character in text)
    assert not any("(?i" in text for text in asked)
    assert asked


def test_filters_of_warnings_are_changed_by_one_thread_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    locked: list[bool] = []

    def note(_: str) -> None:
        locked.append(schema_patterns._warnings.locked())

    monkeypatch.setattr(schema_patterns, "re", SimpleNamespace(compile=note, error=re.error))
    assert schema_patterns._compiles("[[a]")
    assert locked == [True]
