"""What a search returned, as the model and the client see it: within its limits, and unable to pretend to be more."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.nested import nested

from core.agentscope.runtime.agent.knowledge.found_passages import (
    MAX_METADATA_BYTES,
    SearchResultInvalid,
    fitted,
    passages_text,
    read_passages,
    sources_value,
)
from core.agentscope.schemas.passages import Passage
from core.text import clean_json, clean_text

FENCE = re.compile(r"^----- (begin|end) ([0-9a-f]{16}) -----$", re.MULTILINE)

texts = st.text(max_size=60) | st.sampled_from(
    ["", " ", "\x00", "\ud83d", "é" * 900, "x" * 5000, "----- end 0 -----"]
)
passages = st.builds(
    Passage,
    text=texts,
    title=st.none() | texts,
    url=st.none() | st.sampled_from(["https://a/b", "javascript:alert(1)", "https://" + "x" * 3000]) | texts,
    id=st.none() | texts,
    score=st.none() | st.floats(),
    metadata=st.dictionaries(texts, texts, max_size=2),
)


@given(st.lists(passages, max_size=8), st.integers(1024, 6000), st.integers(1, 6))
def test_any_passages_fit_their_limits_and_stay_between_the_lines(
    returned: list[Passage], max_bytes: int, max_passages: int
) -> None:
    read, more = read_passages(returned, max_passages)
    kept, without_room = fitted(read, max_bytes)
    numbered = [
        Passage(
            text=each.text,
            title=each.title,
            url=each.url,
            id=each.id,
            score=each.score,
            metadata=each.metadata,
            number=n,
        )
        for n, each in enumerate(kept, start=999_990)
    ]
    text = passages_text(numbered)

    assert len(kept) + without_room == len(read) <= max_passages
    assert bool(kept) == bool(read)
    assert more >= 0
    assert len(text.encode()) <= max_bytes
    (begin, fence), (end, same) = [
        found for found in FENCE.findall(text) if found[1] == FENCE.findall(text)[0][1]
    ]
    assert (begin, end, fence) == ("begin", "end", same)
    assert text.endswith(f"----- end {fence} -----")
    assert all(f"[{each.number}]" in text and each.text in text for each in numbered)


@given(st.lists(passages, max_size=30), st.integers(500, 20_000), texts)
def test_any_sources_fit_an_event(returned: list[Passage], max_bytes: int, query: str) -> None:
    read, more = read_passages(returned, 50)
    kept, left_out = fitted(read, 200_000)

    value = sources_value(
        clean_text(query[:40]), kept, left_out=more + left_out, tool_call_id="call-1", max_bytes=max_bytes
    )

    assert len(orjson.dumps(value)) <= max_bytes
    assert clean_json(value) == value
    assert len(value["sources"]) + value.get("leftOut", 0) == len(read) + more
    assert all(source.get("url", "/").startswith(("https://", "http://", "/")) for source in value["sources"])


HIT = SimpleNamespace(
    score=0.5,
    document_id="d1",
    chunk=SimpleNamespace(
        content=SimpleNamespace(text="a chunk"), source="a.md", metadata={"page": 3, "url": "https://a"}
    ),
)
IMAGE = SimpleNamespace(
    score=0.5, document_id="d2", chunk=SimpleNamespace(content=object(), source="a.png", metadata={})
)


@pytest.mark.parametrize(
    ("returned", "read"),
    [
        (None, []),
        ((), []),
        (["a text", "", "a text"], [Passage(text="a text")]),
        ([{"text": "t", "title": 7, "unknown": 1}], [Passage(text="t", title="7")]),
        (
            [Passage(text="t", title="two\nlines", url="/docs/a", id="x" * 300, score=Decimal("0.5"))],  # pyright: ignore[reportArgumentType]
            [Passage(text="t", title="two lines", url="/docs/a", id="x" * 200, score=0.5)],
        ),
        ([Passage(text="t", url="javascript:alert(1)", score=math.nan)], [Passage(text="t")]),
        ([Passage(text="t", url="https://a b")], [Passage(text="t")]),
        ([Passage(text="t", metadata={"k": "x" * MAX_METADATA_BYTES})], [Passage(text="t")]),
        ([Passage(text="t", metadata={"k": nested(252)})], [Passage(text="t")]),
        ([Passage(text="t", metadata={"at": {1}})], [Passage(text="t", metadata={"at": [1]})]),
        (
            [HIT, IMAGE],
            [Passage(text="a chunk", title="a.md", url="https://a", id="d1", score=0.5)],
        ),
        # Two parts of a document.
        (
            [Passage(text="a", id="d"), Passage(text="b", id="d")],
            [Passage(text="a", id="d"), Passage(text="b", id="d")],
        ),
    ],
)
def test_what_a_search_may_return(returned: Any, read: list[Passage]) -> None:
    assert read_passages(returned, 5) == (read, 0)


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        (7, "returned int"),
        ("text", "returned str"),
        ({"text": "t"}, "returned dict"),
        (iter([]), "returned list_iterator"),
        ([None], "a list with NoneType"),
        ([{"content": "t"}], 'no "text"'),
        ([Passage(text=b"t")], "is bytes"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_what_is_no_search_result(returned: Any, problem: str) -> None:
    with pytest.raises(SearchResultInvalid, match=re.escape(problem)):
        read_passages(returned, 5)


def test_too_much_for_an_event_loses_metadata_first_then_snippets_then_the_last() -> None:
    found = [Passage(text="x" * 300, metadata={"k": "y" * 300}, number=n) for n in range(1, 4)]

    kept = [sources_value("q", found, max_bytes=size) for size in (4000, 1500, 300, 180)]

    assert [sorted(value["sources"][0]) for value in kept] == [
        ["metadata", "number", "snippet"],
        ["number", "snippet"],
        ["number"],
        ["number"],
    ]
    assert [value.get("leftOut", 0) for value in kept] == [0, 0, 0, 0]
    assert sources_value("q", found, max_bytes=100)["leftOut"] == 2
