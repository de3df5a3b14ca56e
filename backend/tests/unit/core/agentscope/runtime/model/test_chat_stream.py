"""The completion parser as a table of bodies, each also fed in every possible pair of reads and in random ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.agentscope.runtime.model import chat_frames
from core.agentscope.runtime.model.chat_stream import ChatStreamParser, ProviderFailure, StreamMalformed
from core.agentscope.runtime.model.token_counts import TokenCounts

Block = tuple[str, str]
"""The kind, or a tool call's id and name; and the text."""


@dataclass
class Case:
    body: bytes
    blocks: list[Block]
    finish: str | None = "stop"
    tokens: TokenCounts | None = None
    failure: type[Exception] | None = None
    finished: bool = True


def parse(reads: Iterable[bytes], taken: Sequence[str] = ()) -> tuple[list[Block], ChatStreamParser]:
    """Feed the reads, close, and join what neighbouring deltas say of one block."""
    numbers = count(1)
    parser = ChatStreamParser(taken, new_id=lambda: f"new-{next(numbers)}")
    deltas = [delta for read in reads for delta in parser.feed(read)] + parser.close()
    blocks: list[Block] = []
    for delta in deltas:
        key = f"{delta.call.id} {delta.call.name}" if delta.call else delta.kind
        if blocks and blocks[-1][0] == key:
            blocks[-1] = (key, blocks[-1][1] + delta.text)
        else:
            blocks.append((key, delta.text))
    return blocks, parser


def chunk(delta: Any = None, finish: str | None = None, **members: Any) -> dict[str, Any]:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "c-1", "model": "m-1", "choices": choices} | members


def calls(*pieces: dict[str, Any]) -> dict[str, Any]:
    return chunk({"tool_calls": list(pieces)})


def piece(
    index: int | None = None, call_id: str | None = None, name: str | None = None, arguments: Any = None
) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    made = {"index": index, "id": call_id, "function": {k: v for k, v in function.items() if v is not None}}
    return {key: value for key, value in made.items() if value is not None}


def sse(*documents: Any, newline: bytes = b"\n", done: bool = True) -> bytes:
    frames = [d if isinstance(d, bytes) else b"data: " + orjson.dumps(d) for d in documents]
    frames += [b"data: [DONE]"] * done
    return b"".join(frame + newline * 2 for frame in frames)


STOP = chunk({}, "stop")
CALLED = chunk({}, "tool_calls")
COUNTED = {"prompt_tokens": 12, "completion_tokens": 5}
TOKENS = TokenCounts(input=12, output=5)

CASES = {
    "text": Case(sse(chunk({"role": "assistant", "content": ""}), chunk({"content": "Hé"}), chunk({"content": "llo €"}), STOP), [("text", "Héllo €")]),
    "crlf": Case(sse(chunk({"content": "a"}), chunk({"content": "𝄞b"}), STOP, newline=b"\r\n"), [("text", "a𝄞b")]),
    "no space after the colon, comments, other fields": Case(
        b": ping\n\nevent: message\nid: 7\nretry: 5\ndata:" + orjson.dumps(chunk({"content": "a"})) + b"\n\n:\n\n" + sse(STOP),
        [("text", "a")],
    ),
    "one document on two data lines": Case(
        b'data: {"choices":[{"delta":{"content":\ndata: "a"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n', [("text", "a")]
    ),
    "no empty line at the end": Case(sse(chunk({"content": "a"})) .replace(b"data: [DONE]\n\n", b"") + b"data: [DONE]", [("text", "a")], finish=None),
    "end marker without a finish reason": Case(sse(chunk({"content": "a"})), [("text", "a")], finish=None),
    "finish reason without an end marker": Case(sse(chunk({"content": "a"}), STOP, done=False), [("text", "a")]),
    "neither: cut": Case(sse(chunk({"content": "a"}), done=False), [("text", "a")], finish=None, finished=False),
    "nothing at all": Case(b"", [], finish=None, finished=False),
    "what follows the end marker": Case(sse(chunk({"content": "a"}), STOP) + sse(chunk({"content": "b"})), [("text", "a")]),
    "length is kept": Case(sse(chunk({"content": "a"}), chunk({}, "length")), [("text", "a")], finish="length"),
    "content filter is kept": Case(sse(chunk({}, "content_filter")), [], finish="content_filter"),
    "usage chunk without choices": Case(sse(STOP, {"choices": [], "usage": COUNTED}), [], tokens=TOKENS),
    "usage chunk with an empty choice": Case(
        sse(STOP, {"choices": [{"index": 0, "delta": {}}], "usage": COUNTED}), [], tokens=TOKENS
    ),
    "usage with the finish reason": Case(sse(chunk(None, "stop", usage=COUNTED)), [], tokens=TOKENS),
    "usage in every chunk: the last wins": Case(
        sse(chunk({"content": "a"}, usage=COUNTED | {"completion_tokens": 1}), chunk({}, "stop", usage=COUNTED)),
        [("text", "a")],
        tokens=TOKENS,
    ),
    "usage that counts nothing": Case(sse(STOP, {"usage": {"prompt_tokens": 0, "completion_tokens": 0}}), []),
    "null usage, no choices, null delta": Case(sse(chunk(None, usage=None), {"choices": None}, {}, STOP), []),
    "reasoning_content": Case(
        sse(chunk({"reasoning_content": "hm", "content": None}), chunk({"reasoning_content": "m"}), chunk({"content": "a"}), STOP),
        [("thinking", "hmm"), ("text", "a")],
    ),
    "reasoning": Case(sse(chunk({"reasoning": "hm", "content": ""}), STOP), [("thinking", "hm")]),
    "reasoning under both names": Case(sse(chunk({"reasoning": "hm", "reasoning_content": "hm"}), STOP), [("thinking", "hm")]),
    "reasoning and text in one delta": Case(sse(chunk({"content": "a", "reasoning": "hm"}), STOP), [("thinking", "hm"), ("text", "a")]),
    "text, reasoning, text": Case(
        sse(chunk({"content": "a"}), chunk({"reasoning": "b"}), chunk({"content": "c"}), STOP),
        [("text", "a"), ("thinking", "b"), ("text", "c")],
    ),
    "refusal": Case(sse(chunk({"content": None, "refusal": "No."}), STOP), [("text", "No.")]),
    "content parts": Case(sse(chunk({"content": [{"type": "text", "text": "a"}, {"type": "thinking"}]}), STOP), [("text", "a")]),
    "lone surrogate": Case(sse(b'data: {"choices":[{"delta":{"content":"a\\ud83d"}}]}', STOP), [("text", "a\ufffd")]),
    "not UTF-8": Case(sse(b'data: {"choices":[{"delta":{"content":"a\xff"}}]}', STOP), [("text", "a\ufffd")]),
    "one tool call": Case(
        sse(calls(piece(0, "c1", "add", "")), calls(piece(0, arguments='{"a"')), calls(piece(0, arguments=":1}")), CALLED),
        [("c1 add", '{"a":1}')],
        finish="tool_calls",
    ),
    "parallel calls, one after the other": Case(
        sse(calls(piece(0, "c1", "f", "{}")), calls(piece(1, "c2", "g", "{")), calls(piece(1, arguments="}")), CALLED),
        [("c1 f", "{}"), ("c2 g", "{}")],
        finish="tool_calls",
    ),
    "parallel calls in one delta": Case(
        sse(calls(piece(0, "c1", "f", "{}"), piece(1, "c2", "g", "{}")), CALLED),
        [("c1 f", "{}"), ("c2 g", "{}")],
        finish="tool_calls",
    ),
    "interleaved calls come out one after the other": Case(
        sse(
            calls(piece(0, "c1", "f", ""), piece(1, "c2", "g", "")),
            calls(piece(1, arguments='{"b"'), piece(0, arguments='{"a"')),
            calls(piece(0, arguments=":{}}"), piece(1, arguments=":2}")),
            CALLED,
        ),
        [("c1 f", '{"a":{}}'), ("c2 g", '{"b":2}')],
        finish="tool_calls",
    ),
    "a call without arguments": Case(
        sse(calls(piece(0, "c1", "f", "")), calls(piece(1, "c2", "g", "{}")), CALLED),
        [("c1 f", ""), ("c2 g", "{}")],
        finish="tool_calls",
    ),
    "text after a whole call": Case(
        sse(calls(piece(0, "c1", "f", "{}")), chunk({"content": "a"}), CALLED), [("c1 f", "{}"), ("text", "a")], finish="tool_calls"
    ),
    "text within a call waits": Case(
        sse(calls(piece(0, "c1", "f", "{")), chunk({"content": "a"}), calls(piece(0, arguments="}")), CALLED),
        [("c1 f", "{}"), ("text", "a")],
        finish="tool_calls",
    ),
    "blank after a call's end": Case(
        sse(calls(piece(0, "c1", "f", "{}")), calls(piece(1, "c2", "g", "{")), calls(piece(0, arguments="\n")), calls(piece(1, arguments="}")), CALLED),
        [("c1 f", "{}"), ("c2 g", "{}")],
        finish="tool_calls",
    ),
    "no index: by id, or the last": Case(
        sse(calls(piece(None, "c1", "f", "{")), calls(piece(None, "c1", arguments="}")), calls(piece(None, "c2", "g", "{")), calls(piece(arguments="}")), CALLED),
        [("c1 f", "{}"), ("c2 g", "{}")],
        finish="tool_calls",
    ),
    "one index for all, told apart by id": Case(
        sse(calls(piece(0, "c1", "f", "{}")), calls(piece(0, "c2", "f", "{}")), CALLED), [("c1 f", "{}"), ("c2 f", "{}")], finish="tool_calls"
    ),
    "a new id with every piece": Case(
        sse(calls(piece(0, "c1", "f", "{")), calls(piece(0, "c2", arguments="}")), CALLED), [("c1 f", "{}")], finish="tool_calls"
    ),
    "no ids": Case(
        sse(calls(piece(0, None, "f", "{}")), calls(piece(1, None, "g", "{}")), CALLED),
        [("new-1 f", "{}"), ("new-2 g", "{}")],
        finish="tool_calls",
    ),
    "one id for two calls": Case(
        sse(calls(piece(0, "c1", "f", "{}"), piece(1, "c1", "f", "{}")), CALLED),
        [("c1 f", "{}"), ("new-1 f", "{}")],
        finish="tool_calls",
    ),
    "an id that is unfit for the wire": Case(sse(calls(piece(0, "a b", "f", "{}")), CALLED), [("new-1 f", "{}")], finish="tool_calls"),
    "the name comes late": Case(
        sse(calls(piece(0, "c1", None, "{")), calls(piece(0, None, "f", "}")), CALLED), [("c1 f", "{}")], finish="tool_calls"
    ),
    "the name never comes": Case(sse(calls(piece(0, "c1", None, "{}")), CALLED), [("c1 unknown", "{}")], finish="tool_calls"),
    "the name comes again and again": Case(
        sse(calls(piece(0, "c1", "f", "{")), calls(piece(0, "c1", "f", "}")), CALLED), [("c1 f", "{}")], finish="tool_calls"
    ),
    "arguments as an object": Case(sse(calls(piece(0, "c1", "f", {"a": 1})), CALLED), [("c1 f", '{"a":1}')], finish="tool_calls"),
    "a call that goes on after its end": Case(
        sse(calls(piece(0, "c1", "f", "{}")), calls(piece(1, "c2", "g", "{")), calls(piece(0, arguments="{}")), CALLED),
        [("c1 f", "{}"), ("c2 g", "{")],
        finish=None,
        failure=StreamMalformed,
        finished=False,
    ),
    "error chunk": Case(
        sse(chunk({"content": "a"}), {"error": {"message": "overloaded", "code": 529}}, STOP),
        [("text", "a")],
        finish=None,
        failure=ProviderFailure,
        finished=False,
    ),
    "error text": Case(sse({"error": "boom"}), [], finish=None, failure=ProviderFailure, finished=False),
    "not JSON": Case(sse(chunk({"content": "a"}), b"data: {oops"), [("text", "a")], finish=None, failure=StreamMalformed, finished=False),
    "not an object": Case(sse(b"data: 7"), [], finish=None, failure=StreamMalformed, finished=False),
    "members of the wrong type": Case(sse({"choices": 7}), [], finish=None, failure=StreamMalformed, finished=False),
    "broken after the finish reason": Case(sse(chunk({"content": "a"}), STOP, b"data: {oops", done=False), [("text", "a")]),
    "error after the finish reason": Case(sse(chunk({"content": "a"}), STOP, {"error": {}, "x": 1}, {"error": "late"}), [("text", "a")]),
    "one JSON answer": Case(
        orjson.dumps(
            {
                "model": "m-1",
                "choices": [
                    {
                        "finish_reason": "tool_calls",
                        "message": {
                            "reasoning_content": "hm",
                            "content": "a\nb",
                            "tool_calls": [piece(None, "c1", "f", "{}"), piece(None, "c2", "g", '{"a":1}')],
                        },
                    }
                ],
                "usage": COUNTED,
            },
            option=orjson.OPT_INDENT_2,
        ),
        [("thinking", "hm"), ("text", "a\nb"), ("c1 f", "{}"), ("c2 g", '{"a":1}')],
        finish="tool_calls",
        tokens=TOKENS,
    ),
    "one JSON answer without a finish reason": Case(b' {"choices":[{"message":{"content":"a"}}]}', [("text", "a")], finish=None),
    "one JSON error": Case(b'{"error":{"message":"no"}}', [], finish=None, failure=ProviderFailure, finished=False),
    "a cut JSON answer": Case(b'{"choices":[{"mess', [], finish=None, failure=StreamMalformed, finished=False),
}  # fmt: skip

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def check(case: Case, blocks: list[Block], parser: ChatStreamParser) -> None:
    assert blocks == case.blocks
    assert parser.finish_reason == case.finish
    assert parser.tokens == case.tokens
    assert parser.finished is case.finished
    assert type(parser.failure) is (case.failure or type(None))


@every_case
def test_a_body_in_one_read(case: Case) -> None:
    check(case, *parse([case.body]))


@every_case
def test_a_body_cut_in_two_anywhere(case: Case) -> None:
    for place in range(len(case.body) + 1):
        check(case, *parse([case.body[:place], case.body[place:]]))


@every_case
def test_a_body_byte_by_byte(case: Case) -> None:
    check(case, *parse(case.body[i : i + 1] for i in range(len(case.body))))


@settings(deadline=None)  # a busy machine is not a failure
@given(name=st.sampled_from(sorted(CASES)), data=st.data())
def test_a_body_in_any_reads(name: str, data: st.DataObject) -> None:
    body = CASES[name].body
    places = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=12)))
    reads = [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]
    check(CASES[name], *parse(reads))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
ARGUMENTS = st.dictionaries(
    TEXT, TEXT | st.integers(-9, 9) | st.dictionaries(TEXT, TEXT, max_size=2), max_size=3
)


@settings(deadline=None)  # a busy machine is not a failure
@given(wanted=st.lists(ARGUMENTS, min_size=1, max_size=4), data=st.data())
def test_calls_interleaved_in_any_way_come_out_whole_and_in_turn(
    wanted: list[dict[str, Any]], data: st.DataObject
) -> None:
    texts = [orjson.dumps(arguments).decode() for arguments in wanted]
    rest = dict(enumerate(texts))
    documents = [calls(*(piece(index, f"c{index}", f"f{index}", "") for index in rest))]
    while rest:
        index = data.draw(st.sampled_from(sorted(rest)))
        size = data.draw(st.integers(1, len(rest[index])))
        documents.append(calls(piece(index, arguments=rest[index][:size])))
        rest[index] = rest[index][size:]
        if not rest[index]:
            del rest[index]
    blocks, parser = parse([sse(*documents, CALLED)])
    assert parser.failure is None
    assert blocks == [(f"c{index} f{index}", text) for index, text in enumerate(texts)]


def test_the_deltas_of_one_read_are_merged_and_text_is_not_held_back() -> None:
    parser = ChatStreamParser()
    first = parser.feed(sse(chunk({"content": "a"}), chunk({"content": "b"}), done=False))
    second = parser.feed(sse(chunk({"content": "c"}), calls(piece(0, "c1", "f", "{")), done=False))
    assert [delta.text for delta in first] == ["ab"]
    assert [delta.text for delta in second] == ["c", "{"]
    assert [delta.text for delta in parser.feed(sse(calls(piece(0, arguments='"a'))))] == ['"a']


def test_an_id_of_an_earlier_call_is_not_used_again() -> None:
    blocks, _ = parse([sse(calls(piece(0, "call_0", "f", "{}")), CALLED)], taken=["call_0"])
    assert blocks == [("new-1 f", "{}")]


def test_the_output_is_counted_in_bytes() -> None:
    body = sse(chunk({"reasoning": "é", "content": "ab"}), calls(piece(0, "c1", "fn", "{}")), CALLED)
    assert parse([body])[1].output_bytes == 2 + 2 + 2 + 2


def test_the_model_and_the_id_are_the_first_ones_named() -> None:
    _, parser = parse([sse({"choices": []}, chunk({}), chunk({}, "stop", model="m-2", id="c-2"))])
    assert (parser.model, parser.response_id) == ("m-1", "c-1")


def test_a_document_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_frames, "MAX_DOCUMENT_BYTES", 100)
    parser = ChatStreamParser()
    for _ in range(20):
        parser.feed(b"data: " + b"a" * 10)
    assert isinstance(parser.failure, StreamMalformed)


def test_a_long_stream_of_short_documents_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_frames, "MAX_DOCUMENT_BYTES", 200)
    blocks, parser = parse([sse(chunk({"content": "a"}), done=False) for _ in range(20)] + [sse(STOP)])
    assert blocks == [("text", "a" * 20)]
    assert parser.finished


@pytest.mark.parametrize(
    ("error", "status"),
    [({"code": 429}, 429), ({"code": "503"}, 503), ({"status": 500}, 500), ({"code": "rate_limited"}, None), ("x", None)],
)  # fmt: skip
def test_a_provider_failure_knows_its_http_status(error: Any, status: int | None) -> None:
    assert ProviderFailure(error).status == status


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 4, "cost": 0.000811}, TokenCounts(9, 4, cost=Decimal("0.000811"))),
        ({"prompt_tokens": 9, "completion_tokens": 4, "cost": "0.1"}, TokenCounts(9, 4, cost=Decimal("0.1"))),
        ({"prompt_tokens": 9, "completion_tokens": 4, "cost": 0}, TokenCounts(9, 4, cost=Decimal(0))),
        ({"prompt_tokens": 9, "completion_tokens": 4, "cost": -1}, TokenCounts(9, 4)),
        ({"prompt_tokens": 9, "completion_tokens": 4, "cost": {}}, TokenCounts(9, 4)),
        ({"prompt_tokens": 9.0, "completion_tokens": None}, TokenCounts(9)),
        ({"prompt_tokens": "9", "completion_tokens": 4}, TokenCounts(0, 4)),
        ({"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 8}}, TokenCounts(9, 4, cached=8)),
        ({"prompt_tokens": 9, "completion_tokens": 4, "prompt_cache_hit_tokens": 3}, TokenCounts(9, 4, cached=3)),
        ({"prompt_tokens": 9, "completion_tokens": 4, "cache_creation_input_tokens": 2}, TokenCounts(9, 4, cache_write=2)),
        ({"prompt_tokens": 9, "completion_tokens": 4, "completion_tokens_details": {"reasoning_tokens": 3}}, TokenCounts(9, 4, reasoning=3)),
        (
            {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 16, "completion_tokens_details": {"reasoning_tokens": 3}},
            TokenCounts(9, 7, reasoning=3),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": None, "completion_tokens_details": 7}, TokenCounts(9, 4)),
        ({}, None),
        ([], None),
    ],
)  # fmt: skip
def test_usage_as_providers_word_it(usage: Any, tokens: TokenCounts | None) -> None:
    assert TokenCounts.parse(usage) == tokens
