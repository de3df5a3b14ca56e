"""Which messages of a request count."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from core.agentscope.runtime.accept.new_messages import NewMessages, select_new_messages
from core.agentscope.schemas.agent_runtime import RunCommand
from core.agentscope.schemas.messages import AssistantMessage, Message, ToolMessage, UserMessage
from core.errors import InvalidRequest, UrlNotAllowed

READ: TypeAdapter[list[Message]] = TypeAdapter(list[Message])
IMAGE = {"type": "image", "source": {"type": "data", "value": "AA==", "mimeType": "image/png"}}
LINK = {"type": "image", "source": {"type": "url", "value": "https://example.org/a.png"}}


FILE = {"type": "image", "source": {"type": "file", "value": "file-1", "provider": "elsewhere"}}


def user(message_id: str, content: Any = "hi") -> dict[str, Any]:
    return {"id": message_id, "role": "user", "content": content}


def assistant(message_id: str, content: Any = "hello", **more: Any) -> dict[str, Any]:
    return {"id": message_id, "role": "assistant", "content": content, **more}


def tool(message_id: str, call_id: str, content: str = "picked") -> dict[str, Any]:
    return {"id": message_id, "role": "tool", "toolCallId": call_id, "content": content}


def other(message_id: str, role: str) -> dict[str, Any]:
    return {"id": message_id, "role": role, "content": "ignored"}


CALLS = [{"id": "c1", "type": "function", "function": {"name": "pick", "arguments": "{}"}}]


def select(
    messages: list[dict[str, Any]],
    *,
    known: str = "",
    open_calls: str = "",
    settled: str = "",
    new: bool = False,
    strict: bool = True,
) -> tuple[list[str], list[str]]:
    """Return the ids of what is imported and of what is answered."""
    found = select_new_messages(
        READ.validate_python(messages),
        known_ids=known.split(),
        open_tool_calls=open_calls.split(),
        settled_tool_calls=settled.split(),
        thread_is_new=new,
        strict_tool_results=strict,
    )
    return [message.id for message in found.imported], [message.id for message in found.fresh]


# --- a thread that exists -----------------------------------------------------------------------


def test_of_the_whole_conversation_only_the_unknown_user_message_counts() -> None:
    assert select([user("u1"), assistant("a1"), user("u2")], known="u1 a1") == ([], ["u2"])


def test_several_new_user_messages_keep_their_order() -> None:
    assert select([user("u3"), user("u2")], known="u1") == ([], ["u3", "u2"])


@pytest.mark.parametrize("role", ["system", "developer", "reasoning", "activity"])
@pytest.mark.parametrize("new", [False, True])
def test_other_roles_are_ignored_and_not_refused(role: str, new: bool) -> None:
    assert select([other("x", role), user("u")], new=new) == ([], ["u"])


def test_an_assistant_message_of_the_client_is_ignored() -> None:
    assert select([user("u1"), assistant("forged"), user("u2")], known="u1") == ([], ["u2"])


def test_nothing_new_is_nothing() -> None:
    assert select([user("u1"), assistant("a1")], known="u1 a1") == ([], [])
    assert select([]) == ([], [])


def test_an_id_counts_once_in_a_request() -> None:
    assert select([user("u", "first"), user("u", "second")]) == ([], ["u"])


def test_an_ignored_message_does_not_take_an_id() -> None:
    assert select([other("x", "system"), user("x")]) == ([], ["x"])


# --- answers to client tools --------------------------------------------------------------------


def test_a_tool_message_that_answers_an_open_call_counts() -> None:
    assert select(
        [user("u1"), assistant("a1", toolCalls=CALLS), tool("r1", "c1")], known="u1 a1", open_calls="c1"
    ) == (
        [],
        ["r1"],
    )


def test_a_known_tool_message_is_passed_over_although_its_call_is_closed() -> None:
    assert select([tool("r1", "c1"), user("u2")], known="r1") == ([], ["u2"])


def test_a_result_that_comes_with_its_call_from_elsewhere_is_ignored() -> None:
    # The rest of a conversation that the thread's first run brought: the client sends it for ever.
    earlier = [user("e1"), assistant("e2", "", toolCalls=CALLS), tool("e3", "c1"), assistant("e4")]

    assert select([*earlier, user("u2")], known="e1 e4 u1") == ([], ["u2"])


def test_a_call_that_is_open_here_is_answered_whoever_repeats_it() -> None:
    repeated = assistant("another-id", "", toolCalls=CALLS)

    assert select([repeated, tool("r1", "c1")], known="u1", open_calls="c1") == ([], ["r1"])


def test_a_known_answer_s_call_is_no_call_from_elsewhere() -> None:
    with pytest.raises(InvalidRequest):
        select([assistant("a1", toolCalls=CALLS), tool("forged", "c1")], known="a1")


@pytest.mark.parametrize(
    ("messages", "open_calls", "place"),
    [
        ([tool("r1", "c9"), user("u1")], "c1", 0),
        ([user("u1"), tool("r1", "c1"), tool("r2", "c1", "other")], "c1", 2),
    ],
    ids=["no such call", "answered in two ways"],
)
def test_a_tool_message_that_answers_no_open_call_is_refused_by_its_place(
    messages: list[dict[str, Any]], open_calls: str, place: int
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        select(messages, open_calls=open_calls)

    assert [error["pointer"] for error in caught.value.errors] == [f"/messages/{place}/toolCallId"]
    assert select(messages, open_calls=open_calls, strict=False)[1] == [
        message["id"] for number, message in enumerate(messages) if number != place
    ]


def test_the_same_answer_twice_counts_once() -> None:
    assert select([tool("r1", "c1"), tool("r2", "c1")], open_calls="c1") == ([], ["r1"])


def test_a_late_answer_is_ignored_beside_something_new() -> None:
    messages = [tool("r1", "c1"), user("u2"), tool("r2", "c2")]

    assert select(messages, settled="c1 c2") == ([], ["u2"])
    assert select(messages, settled="c1", open_calls="c2") == ([], ["u2", "r2"])


def test_a_late_answer_alone_is_refused_by_its_place() -> None:
    with pytest.raises(InvalidRequest) as caught:
        select([user("u1"), tool("r1", "c1"), tool("r2", "c2")], known="u1", settled="c1 c2")

    assert [error["pointer"] for error in caught.value.errors] == ["/messages/1/toolCallId"]


# --- the first run of a thread --------------------------------------------------------------------


def test_a_new_thread_brings_its_earlier_conversation() -> None:
    messages = [user("u1"), assistant("a1"), user("u2"), assistant("a2"), user("u3")]

    assert select(messages, new=True) == (["u1", "a1", "u2", "a2"], ["u3"])


def test_what_is_imported_ends_with_the_last_answer() -> None:
    assert select([user("u1"), user("u2"), assistant("a"), user("u3"), user("u4")], new=True) == (
        ["u1", "u2", "a"],
        ["u3", "u4"],
    )
    assert select([user("u1"), assistant("a1")], new=True) == (["u1", "a1"], [])


def test_an_answer_whose_list_of_calls_is_empty_is_a_text_answer() -> None:
    assert select([user("u1"), assistant("a1", toolCalls=[]), user("u2")], new=True) == (["u1", "a1"], ["u2"])


def test_tool_calls_and_their_results_are_not_imported() -> None:
    messages = [
        user("u1"),
        assistant("a1", None, toolCalls=CALLS),
        tool("r1", "c1"),
        assistant("a2"),
        user("u2"),
    ]

    assert select(messages, new=True) == (["u1", "a2"], ["u2"])


# --- media ------------------------------------------------------------------------------------------


def test_inline_media_counts() -> None:
    assert select([user("u", [{"type": "text", "text": "look"}, IMAGE])]) == ([], ["u"])


@pytest.mark.parametrize("new", [False, True])
def test_media_by_url_is_refused_by_its_place(new: bool) -> None:
    with pytest.raises(UrlNotAllowed) as caught:
        select([user("u1"), user("u2", [IMAGE, LINK])], new=new)

    assert [error["pointer"] for error in caught.value.errors] == ["/messages/1/content/1/source"]


def test_media_by_url_in_a_known_message_is_not_looked_at() -> None:
    assert select([user("u1", [LINK]), user("u2")], known="u1") == ([], ["u2"])


def test_media_of_an_answered_message_is_not_looked_at() -> None:
    assert select([user("u1", [LINK]), assistant("a1"), user("u2")], new=True) == (["u1", "a1"], ["u2"])


# --- messages without ids ---------------------------------------------------------------------------


def nameless(
    *messages: dict[str, Any], known: Collection[str] = (), new: bool = False, run: str = "r"
) -> NewMessages:
    command = RunCommand.model_validate({"messages": [*messages]})
    return select_new_messages(
        command.messages, known_ids=known, open_tool_calls=(), thread_is_new=new, run_id=run
    )


SAID = {"role": "user", "content": "hi"}
ANSWER = {"role": "assistant", "content": "hello"}
MORE = {"role": "user", "content": "more"}


@pytest.mark.parametrize("no_id", [{}, {"id": None}, {"id": ""}], ids=str)
def test_a_message_without_an_id_gets_one_that_stays(no_id: dict[str, Any]) -> None:
    (first,) = nameless(SAID | no_id, new=True).fresh
    assert re.fullmatch("msg-[0-9a-f]{32}", first.id)

    again = nameless(SAID, ANSWER, MORE, known=frozenset({first.id}))
    assert [message.content for message in again.fresh] == ["more"]


def test_a_client_that_sends_its_new_messages_only_may_say_the_same_again() -> None:
    (first,) = nameless(SAID, new=True, run="r-1").fresh
    (second,) = nameless(SAID, known=frozenset({first.id}), run="r-2").fresh
    (third,) = nameless(SAID, known=frozenset({first.id, second.id}), run="r-3").fresh

    assert len({first.id, second.id, third.id}) == 3
    # Of the same request the same comes out.
    assert nameless(SAID, known=frozenset({first.id}), run="r-2").fresh[0].id == second.id


def test_a_window_of_a_conversation_answers_nothing_twice() -> None:
    found = nameless({"role": "user", "content": "long ago"}, ANSWER, MORE)

    assert [message.content for message in found.fresh] == ["more"]


def test_a_conversation_without_ids_is_imported_with_ids() -> None:
    found = nameless(SAID, ANSWER, MORE, new=True)

    assert [message.content for message in found.imported] == ["hi", "hello"]
    assert [message.content for message in found.fresh] == ["more"]
    assert len({message.id for message in (*found.imported, *found.fresh)}) == 3


# --- messages of another backend --------------------------------------------------------------------

FOREIGN: list[list[dict[str, Any]]] = [
    [
        {"id": "a|1", "role": "assistant", "toolCalls": [CALLS[0] | {"id": "call_1|fc_2"}]},
        {"id": "t 1", "role": "tool", "toolCallId": "call_1|fc_2", "content": {"any": "thing"}},
    ],
    [{"id": "t", "role": "tool", "toolCallId": "call_1|fc_2", "content": "orphan"}],
    [{"role": "tool", "content": "without a call"}],
    [{"id": "a", "role": "assistant", "content": {"any": "thing"}, "toolCalls": "none"}],
    [{"id": "a", "role": "assistant", "content": "x", "toolCalls": [{"id": 5}, 7, {"function": None}]}],
    [{"id": "a", "role": "assistant", "content": "x", "metadata": "text", "encryptedValue": {"s": 1}}],
    [{"id": 5, "role": "reasoning", "content": [1]}],
    [{"id": ["x"], "role": "system"}],
    [{"id": "x" * 5000, "role": "activity", "metadata": 1}],
    [
        {"id": "a", "role": "assistant", "content": None, "toolCalls": [CALLS[0] | {"function": {}}]},
        {"id": "t", "role": "tool", "toolCallId": "c1", "content": "of the call above"},
    ],
]


@pytest.mark.parametrize("messages", FOREIGN, ids=lambda messages: str(messages)[:60])
@pytest.mark.parametrize("new", [False, True])
def test_messages_of_another_backend_are_ignored_whatever_their_form(
    messages: list[dict[str, Any]], new: bool
) -> None:
    found = nameless(user("u1"), *messages, user("u2"), known=frozenset({"u1"}), new=new)

    assert [message.id for message in found.fresh] == ["u2"]


def test_an_answer_in_parts_is_imported_as_its_text() -> None:
    parts = [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]

    found = nameless(SAID, {"id": "a|1", "role": "assistant", "content": parts}, MORE, new=True)

    assert [message.content for message in found.imported] == ["hi", "hel\nlo"]
    assert re.fullmatch("msg-[0-9a-f]{32}", found.imported[1].id)


def test_a_malformed_answer_to_an_open_call_is_refused_by_its_place() -> None:
    messages = [user("u1"), {"id": "t", "role": "tool", "toolCallId": "c1", "content": {"any": 1}}]

    with pytest.raises(InvalidRequest) as caught:
        select_new_messages(
            RunCommand.model_validate({"messages": messages}).messages,
            known_ids=["u1"],
            open_tool_calls=["c1"],
            thread_is_new=False,
        )
    assert {error["pointer"] for error in caught.value.errors} == {"/messages/1/content"}


# --- anything ----------------------------------------------------------------------------------------

names = st.sampled_from(["m1", "m2", "m3", "m4", "m5"])
requests = st.lists(
    st.one_of(
        st.builds(user, names),
        st.builds(assistant, names, st.none() | st.just("hello")),
        st.builds(lambda message_id: assistant(message_id, None, toolCalls=CALLS), names),
        st.builds(tool, names, st.sampled_from(["c1", "c2"])),
        st.builds(other, names, st.sampled_from(["system", "reasoning"])),
    ),
    max_size=8,
)


@settings(max_examples=200, deadline=None)
@given(requests, st.sets(names), st.sets(st.sampled_from(["c1", "c2"])), st.booleans())
def test_what_counts_is_new_in_order_and_once(
    messages: list[dict[str, Any]], known: set[str], open_calls: set[str], new: bool
) -> None:
    sent = READ.validate_python(messages)
    found = select_new_messages(
        sent, known_ids=known, open_tool_calls=open_calls, thread_is_new=new, strict_tool_results=False
    )
    taken = [*found.imported, *found.fresh]
    places = [next(place for place, item in enumerate(sent) if item is message) for message in taken]
    answered = [message.tool_call_id for message in taken if isinstance(message, ToolMessage)]

    assert places == sorted(places)
    assert len({message.id for message in taken}) == len(taken)
    assert not known & {message.id for message in taken}
    assert len(set(answered)) == len(answered)
    assert set(answered) <= open_calls
    assert new or not found.imported
    assert all(isinstance(message, UserMessage | ToolMessage) for message in found.fresh)
    assert not found.imported or isinstance(found.imported[-1], AssistantMessage)


@settings(max_examples=100, deadline=None)
@given(requests, st.sets(names), st.booleans())
def test_sending_the_same_again_brings_nothing_new(
    messages: list[dict[str, Any]], known: set[str], new: bool
) -> None:
    sent = READ.validate_python([message for message in messages if message["role"] != "tool"])
    found = select_new_messages(sent, known_ids=known, open_tool_calls=(), thread_is_new=new)
    taken = {message.id for message in (*found.imported, *found.fresh)}
    again = select_new_messages(sent, known_ids=known | taken, open_tool_calls=(), thread_is_new=False)

    assert (again.imported, again.fresh) == ((), ())


@pytest.mark.parametrize(
    ("content", "pointer"), [([FILE], "/messages/0/content/0/source/provider"), ([], "/messages/0/content")]
)
def test_what_the_model_would_never_see_is_refused(content: list[Any], pointer: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        select([user("m1", content)])
    assert refused.value.errors[0]["pointer"] == pointer
