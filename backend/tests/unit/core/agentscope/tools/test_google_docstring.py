from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.agentscope.tools.google_docstring import Docstring, parse_docstring


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, Docstring()),
        ("", Docstring()),
        ("One line.", Docstring("One line.")),
        ("First.\n\n    Second: with a colon.\n    ", Docstring("First.\n\nSecond: with a colon.")),
        (
            """Summary.

            More.

            Args:
                city: The city's name,
                    in English: no abbreviations.
                days (int, optional): How many.
                *rest: Ignored.

            Returns:
                city: not an argument.
            """,
            Docstring(
                "Summary.\n\nMore.",
                {
                    "city": "The city's name, in English: no abbreviations.",
                    "days": "How many.",
                    "rest": "Ignored.",
                },
            ),
        ),
        ("Args:\n    a: Only arguments.", Docstring("", {"a": "Only arguments."})),
        ("No arguments.\n\nArgs:\n", Docstring("No arguments.")),
    ],
)
def test_docstring_is_split_into_description_and_arguments(text: str | None, expected: Docstring) -> None:
    assert parse_docstring(text) == expected


@given(st.text(st.sampled_from("Args: \n\tab().*")))
def test_no_docstring_fails(text: str) -> None:
    parse_docstring(text)
