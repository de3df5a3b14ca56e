"""Says what is wrong with a ``pattern`` of a schema that somebody else wrote, at a cost that has a limit."""

from __future__ import annotations

import re
import threading
import warnings
from dataclasses import dataclass, field
from functools import lru_cache

from core.schema_validator import PatternUnknown, compile_pattern

MAX_PATTERN_CHARACTERS = 1000
MAX_PATTERN_UNITS = 400
"""Of all schemas of a request together: usually 40 ms, and 0.2 s for the worst patterns that were found."""
_UNIT_CHARACTERS = 100
_UNIT_REPETITIONS = 100
_MAX_REPETITIONS = 1000
"""RE2 refuses more than these, which then cost nothing more."""

# A Unicode class has hundreds of ranges, and a counted repetition copies what it repeats.
_UNICODE_CLASS = re.compile(r"\\[pP]")
_REPETITIONS = re.compile(r"\d+(?=\}|,\d*\})")


@dataclass(slots=True)
class PatternBudget:
    """Units that several schemas may spend on patterns. Each different pattern is paid for once."""

    left: int = MAX_PATTERN_UNITS
    _paid: set[str] = field(default_factory=set)

    def pay(self, pattern: str) -> bool:
        """Return whether the budget suffices for a pattern."""
        if pattern in self._paid:
            return True
        self.left -= units_of(pattern)
        if self.left < 0:
            return False
        self._paid.add(pattern)
        return True


def units_of(pattern: str) -> int:
    """Return what a pattern costs, in proportion to the time that RE2 takes to compile it."""
    repetitions = sum(min(int(count), _MAX_REPETITIONS) for count in _REPETITIONS.findall(pattern))
    return (
        1
        + len(pattern) // _UNIT_CHARACTERS
        + len(_UNICODE_CLASS.findall(pattern))
        + repetitions // _UNIT_REPETITIONS
    )


def pattern_problem(pattern: str, budget: PatternBudget) -> str:
    """Say what is wrong with a pattern; empty if it can be used.

    Only what is wrong in every dialect is a problem, because RE2 checks what it knows.
    """
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        return f"is a pattern of more than {MAX_PATTERN_CHARACTERS} characters"
    if not budget.pay(pattern):
        return (
            f"is too much, together with the patterns before it: {MAX_PATTERN_UNITS} short patterns are allowed in a "
            "request, and long patterns, Unicode classes and large repetitions count more than once"
        )
    try:
        compile_pattern(pattern)
    except PatternUnknown:
        if not _is_regular_expression(pattern):
            return "is not a regular expression"
    return ""


# What JavaScript's regular expressions have beyond Python's: replaced by an ordinary character, the rest can be
# compiled.
_FOREIGN = re.compile(r"\\(?:[pPu]\{[^{}]*\}|c[A-Za-z]|k<\w+>|[A-Za-z])")
_FLAGS = re.compile(r"\(\?[A-Za-z]+")
_WITHOUT_CASE = str.maketrans("iu", "aa")
_FIRST_LETTER, _LETTERS = 0xD8, 0xF6 - 0xD8
_warnings = threading.Lock()
"""Filters of warnings belong to the process, and both the event loop and a thread check schemas."""


@lru_cache(maxsize=1024)
def _is_regular_expression(pattern: str) -> bool:
    """Return whether a pattern that RE2 refused is one of another dialect."""
    known = re.sub(r"\(\?<(?=\w)", "(?P<", pattern).replace("(?<=", "(?=").replace("(?<!", "(?!")
    known = _in_few_letters(known.replace("[^]", "."))
    # Without regard to case, Python looks at each character of a range.
    known = _FLAGS.sub(lambda flags: flags[0].translate(_WITHOUT_CASE), known)
    # Before and behind all other characters: one of both fits as the end of a range.
    return any(_compiles(_FOREIGN.sub(character, known)) for character in " ~")


def _in_few_letters(pattern: str) -> str:
    """Replace the characters beyond ASCII by letters of Latin-1 in the same order.

    Python takes milliseconds for a class with others, and a pattern may have two hundred classes.
    """
    foreign = sorted({ord(character) for character in pattern if not character.isascii()})
    return pattern.translate(
        {code: chr(_FIRST_LETTER + min(place, _LETTERS)) for place, code in enumerate(foreign)}
    )


def _compiles(pattern: str) -> bool:
    try:
        with _warnings, warnings.catch_warnings(action="ignore"):
            re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    return True
