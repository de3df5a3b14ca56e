"""The demo model's answers as OpenAI chunks."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from agentroute.demo.script import Call, Script
from agentroute.demo.wire import Completion, deltas, usage_of, words


@given(st.text())
def test_words_join_to_the_text_again(text: str) -> None:
    assert "".join(words(text)) == text


@given(st.lists(st.text(), max_size=3))
def test_argument_pieces_join_to_each_calls_arguments(arguments: list[str]) -> None:
    calls = tuple(Call(f"tool_{index}", text) for index, text in enumerate(arguments))
    joined: dict[int, str] = {}
    for delta in deltas(Script(calls=calls)):
        [piece] = delta["tool_calls"]
        joined[piece["index"]] = joined.get(piece["index"], "") + piece["function"]["arguments"]
    assert [joined[index] for index in sorted(joined)] == arguments


def test_call_ids_are_given_once_and_unique() -> None:
    script = Script(calls=(Call("a", '{"text": "long enough for two pieces"}'), Call("a", "{}")))
    ids = [piece["tool_calls"][0].get("id") for piece in deltas(script)]
    given_ids = [call_id for call_id in ids if call_id]
    assert len(given_ids) == len(set(given_ids)) == 2


def test_usage_counts_reasoning_and_the_cached_prefix() -> None:
    history: list[dict[str, Any]] = [
        {"role": "user", "content": "x" * 4000},
        {"role": "user", "content": "y"},
    ]
    usage = usage_of({"messages": history}, Script(text="a" * 40, reasoning="b" * 20))
    assert usage["completion_tokens"] == 15
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 5}
    assert usage["prompt_tokens_details"]["cached_tokens"] == 896
    assert usage["total_tokens"] == usage["prompt_tokens"] + 15
    assert usage["cost"] == 0


def test_a_whole_answer_has_message_and_usage() -> None:
    script = Script(reasoning="hm", calls=(Call("a", "{}"),))
    whole = Completion("demo").whole(script, usage_of({"messages": [{"content": "hi"}]}, script))
    assert orjson.dumps(whole)
    [choice] = whole["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["reasoning_content"] == "hm"
    assert choice["message"]["content"] is None
