"""A thread's first title."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.agentscope.schemas.messages import UserMessage
from core.agentscope.schemas.titles import title_of

IMAGE = {"type": "image", "source": {"type": "data", "value": "AA==", "mimeType": "image/png"}}


@pytest.mark.parametrize(
    ("content", "title"),
    [
        ("What time is it?", "What time is it?"),
        ("  two\n\nlines\t here ", "two lines here"),
        ("word " * 20, "word " * 11 + "word…"),
        ("x" * 80, "x" * 60 + "…"),
        ("x" * 60, "x" * 60),
        ([{"type": "text", "text": "Look:"}, IMAGE, {"type": "text", "text": "a cat"}], "Look: a cat"),
        ([IMAGE], None),
        (" \n", None),
        ("", None),
    ],
)
def test_a_title_is_the_first_words_of_the_first_message(content: Any, title: str | None) -> None:
    assert title_of(UserMessage.model_validate({"id": "u", "role": "user", "content": content})) == title


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_a_title_is_one_short_line_that_the_message_begins_with(text: str) -> None:
    title = title_of(UserMessage(id="u", role="user", content=text))

    words = " ".join(text.split())
    if len(words) <= 60:
        assert title == (words or None)
    else:
        assert title is not None
        assert len(title) <= 61
        assert title.endswith("…")
        assert words.startswith(title[:-1])
