"""The scripted demo model as a table: a request in, a script out."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from agentroute.demo import answers as answers
from agentroute.demo.request import RequestInvalid, read_conversation
from agentroute.demo.script import Failure, Pace, Script, decide
from core.agentscope.runtime.agent.titles import TITLE_REQUEST

INTENT = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["chat", "task"], "type": "string"},
        "language": {"type": "string"},
        "needs_tools": {"type": "boolean"},
        "plan": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["kind", "language", "needs_tools", "plan"],
}
TEXT_ARGUMENT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
TOOLS: dict[str, dict[str, Any]] = {
    "current_time": {"type": "object", "properties": {"timezone": {"type": "string"}}},
    "calculate": {
        "type": "object",
        "properties": {"expression": {"type": "string"}},
        "required": ["expression"],
    },
    "remember": TEXT_ARGUMENT,
    "recall": {},
    "fetch_url": {"type": "object", "properties": {"url": {"type": "string"}}, "required": ["url"]},
    "setTheme": {
        "type": "object",
        "properties": {
            "theme": {"enum": ["light", "dark"]},
            "level": {"type": "integer"},
            "note": {"type": "string"},
        },
        "required": ["theme", "level"],
    },
}


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def called(*calls: tuple[str, str, str]) -> dict[str, Any]:
    functions = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        for call_id, name, arguments in calls
    ]
    return {"role": "assistant", "content": None, "tool_calls": functions}


def answered(call_id: str, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def offer(schemas: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"type": "function", "function": {"name": name, "parameters": it}} for name, it in schemas.items()
    ]


def ask(
    *messages: dict[str, Any] | str, tools: dict[str, dict[str, Any]] | None = None, **members: Any
) -> Script:
    body = {"messages": [user(it) if isinstance(it, str) else it for it in messages], **members}
    return decide({**body, "tools": offer(TOOLS if tools is None else tools)})


def calls_of(script: Script) -> list[tuple[str, Any]]:
    return [(call.name, orjson.loads(call.arguments)) for call in script.calls]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("what time is it", [("current_time", {})]),
        ("Hey, what time is it?", [("current_time", {})]),
        ("calculate 6*7", [("calculate", {"expression": "6*7"})]),
        ("Please calculate (2+3)*sqrt(16).", [("calculate", {"expression": "(2+3)*sqrt(16)"})]),
        ("what is 6 * 7?", [("calculate", {"expression": "6 * 7"})]),
        ("remember that I like tea.", [("remember", {"text": "I like tea"})]),
        ("What do you remember?", [("recall", {})]),
        ("fetch https://example.com/a?b=c.", [("fetch_url", {"url": "https://example.com/a?b=c"})]),
        ("call the tool recall", [("recall", {})]),
        ("call tool `setTheme`", [("setTheme", {"theme": "light", "level": 1})]),
        ('call the tool setTheme with {"theme": "a } b"} now', [("setTheme", {"theme": "a } b"})]),
        (
            "what time is it and also calculate 6*7",
            [("current_time", {}), ("calculate", {"expression": "6*7"})],
        ),
        ("calculate 6*7 and then what time is it", [("calculate", {"expression": "6*7"})]),
        ("remember that I like tea and then coffee", [("remember", {"text": "I like tea and then coffee"})]),
        ("calculate the cost of love", []),
        ("I cannot remember my password", []),
        ("good morning to you all", []),
    ],
)
def test_a_message_asks_for_tools(text: str, expected: list[tuple[str, Any]]) -> None:
    script = ask(text)
    assert calls_of(script) == expected
    assert script.finish_reason == ("tool_calls" if expected else "stop")


def test_broken_arguments_are_passed_on_as_they_are() -> None:
    script = ask('call the tool remember with {"text": "a')
    assert [(call.name, call.arguments) for call in script.calls] == [("remember", '{"text": "a')]


def test_a_tool_that_is_not_offered_is_named() -> None:
    script = ask("call the tool teleport and also what time is it")
    assert calls_of(script) == [("current_time", {})]
    assert '"teleport"' in script.text

    alone = ask("call the tool teleport", tools={})
    assert not alone.calls
    assert '"teleport"' in alone.text


def test_no_tool_is_called_when_the_caller_forbids_it() -> None:
    assert not ask("what time is it", tool_choice="none").calls


@pytest.mark.parametrize(
    ("name", "arguments", "result", "said"),
    [
        ("current_time", "{}", "2026-01-31 12:00 UTC", "2026-01-31 12:00 UTC"),
        ("calculate", '{"expression": "6*7"}', "42", "6*7 = 42"),
        ("calculate", '{"expression": "6*7"}', '{"result": 42}', "42"),
        ("calculate", '{"expression": "1/0"}', "Error: division by zero", "did not succeed"),
        ("calculate", '{"expression": "1/0"}', '{"error": "division by zero"}', "did not succeed"),
        ("calculate", '{"other": 1}', "42", "answered: 42"),
        ("calculate", '{"expression": "1/0"}', "Division by zero.", "says: Division by zero."),
        ("remember", '{"text": "I like tea"}', "You have too many memories.", "answered: You have too many"),
        ("remember", '{"text": "x"}', "Declined by the user.", "was not run"),
        (
            "remember",
            "{}",
            '<system-reminder>The execution of tool "remember" is denied by user!</system-reminder>',
            "not run",
        ),
        ("remember", "{}", "interrupted", "was interrupted"),
        ("setTheme", "{}", "", "without saying anything"),
        ("fetch_url", '{"url": "https://example.com/"}', "x" * 5000, "cut, 5000 characters"),
    ],
)
def test_a_tool_result_is_told(name: str, arguments: str, result: str, said: str) -> None:
    script = ask(f"call the tool {name}", called(("c1", name, arguments)), answered("c1", result))
    assert said in script.text
    assert not script.calls


def test_steps_follow_each_other() -> None:
    text = "calculate 6*7 and also what time is it and then call the tool recall and then fail mid"
    turn = [user(text), called(("a", "calculate", "{}"), ("b", "current_time", "{}"))]
    turn += [answered("a", "42"), answered("b", "noon")]
    assert calls_of(ask(*turn)) == [("recall", {})]

    turn += [called(("c", "recall", "{}")), answered("c", "tea")]
    last = ask(*turn)
    assert last.failure is Failure.CUT
    assert "tea" in last.text


def test_results_are_told_when_the_tools_are_gone() -> None:
    script = ask("what time is it", called(("c", "current_time", "{}")), answered("c", "noon"), tools={})
    assert "noon" in script.text


def test_a_new_message_starts_a_new_turn() -> None:
    script = ask(
        "calculate 6*7",
        called(("c", "calculate", '{"expression": "6*7"}')),
        answered("c", "42"),
        {"role": "assistant", "content": "42"},
        "calculate 1+1",
    )
    assert calls_of(script) == [("calculate", {"expression": "1+1"})]


@pytest.mark.parametrize(
    ("text", "failure", "finish_reason"),
    [
        ("fail", Failure.UNAVAILABLE, "stop"),
        ("Fail!", Failure.UNAVAILABLE, "stop"),
        ("fail 503", Failure.UNAVAILABLE, "stop"),
        ("fail 500", Failure.SERVER_ERROR, "stop"),
        ("fail 429", Failure.RATE_LIMITED, "stop"),
        ("fail 400", Failure.BAD_REQUEST, "stop"),
        ("fail mid", Failure.CUT, "stop"),
        ("fail chunk", Failure.BROKEN_CHUNK, "stop"),
        ("fail error", Failure.ERROR_CHUNK, "stop"),
        ("fail empty", Failure.EMPTY, "stop"),
        ("fail hang", Failure.HANG, "stop"),
        ("fail length", Failure.LENGTH, "length"),
        ("fail filter", Failure.FILTER, "content_filter"),
        ("fail upwards", None, "stop"),
        ("we must not fail", None, "stop"),
    ],
)
def test_failures(text: str, failure: Failure | None, finish_reason: str) -> None:
    script = ask(text)
    assert script.failure is failure
    assert script.finish_reason == finish_reason


def test_help_names_every_failure_and_built_in_tool_phrase() -> None:
    text = ask("help").text
    assert answers.WHO in text
    for failure in set(Failure) - {Failure.UNAVAILABLE}:
        assert f'"fail {failure}"' in text
    for phrase in (
        "what time is it",
        "calculate",
        "remember that",
        "what do you remember",
        "fetch",
        "call the tool",
    ):
        assert phrase in text


@pytest.mark.parametrize("text", ["hello", "help", "Who are you?", "Tell me of the sea.", "my name is Ada"])
def test_it_says_that_it_is_scripted(text: str) -> None:
    assert "scripted demo model, not an AI" in ask(text).text


def test_plain_talk_is_quoted() -> None:
    script = ask("Tell me about the Mariana Trench, please. " + "And more. " * 40)
    assert "Tell me about the Mariana Trench" in script.text
    assert script.text.count(". ") >= 3
    assert len(script.text) < 600


def test_thinking_comes_first_and_once_a_turn() -> None:
    first = ask("think, then calculate 6*7")
    assert first.reasoning
    assert first.calls
    after = ask("think, then calculate 6*7", called(("c", "calculate", "{}")), answered("c", "42"))
    assert not after.reasoning


def test_slowly_is_long_and_slow() -> None:
    script = ask("slowly please")
    assert script.pace is Pace.SLOW
    assert len(script.text.split()) >= 20


@pytest.mark.parametrize(
    ("history", "question", "said"),
    [
        (["my name is Ada"], "what is my name", "Ada"),
        (["My name is Ada and I like tea"], "What's my name?", "Your name is Ada."),
        (["my name is Ada", "my name is Grace"], "what is my name?", "Grace"),
        (["my favourite colour is dark green."], "what is my favourite colour?", "dark green"),
        (["<system-info>Summary: my name is Ada. It is late.</system-info>"], "what is my name", "Ada"),
        ([], "what is my name", "not told me your name"),
    ],
)
def test_facts_are_read_from_the_history(history: list[str], question: str, said: str) -> None:
    messages = [it for text in history for it in (user(text), {"role": "assistant", "content": "Noted."})]
    assert said in ask(*messages, question).text


def test_facts_are_read_from_a_system_prompt() -> None:
    system = {"role": "system", "content": "What you know of the user: my name is Ada."}
    assert "Ada" in ask(system, "what is my name").text


def test_images_are_acknowledged() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}
    assert "I see an image" in ask(user([picture])).text
    both = ask(user([{"type": "text", "text": "Look at this"}, picture, picture]))
    assert "2 images" in both.text
    assert "Look at this" in both.text


def test_pictures_repeated_from_a_tool_do_not_start_a_turn() -> None:
    picture = {"role": "user", "name": "system-reminder", "content": [{"type": "image_url"}]}
    script = ask("call the tool recall", called(("c", "recall", "{}")), answered("c", "a tree"), picture)
    assert "a tree" in script.text


REMINDER = (
    "<system-reminder>Now you **MUST** call the tool named 'generate_structured_output'.</system-reminder>"
)
FORCED = {"type": "function", "function": {"name": "generate_structured_output"}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello", {"kind": "chat", "language": "en", "needs_tools": False, "plan": []}),
        ("deltas=100 rate=50", {"kind": "chat", "language": "en", "needs_tools": False, "plan": []}),
        (
            "what time is it",
            {"kind": "task", "language": "en", "needs_tools": True, "plan": ["Call current_time"]},
        ),
        (
            "calculate 1+1 and also call the tool setTheme and then what do you remember",
            {
                "kind": "task",
                "language": "en",
                "needs_tools": True,
                "plan": ["Call calculate", "Call setTheme", "Call recall"],
            },
        ),
        ("1. sing\n2. dance", {"kind": "task", "language": "en", "needs_tools": False, "plan": []}),
        (
            "Wie ist das Wetter und der Wind?",
            {"kind": "chat", "language": "de", "needs_tools": False, "plan": []},
        ),
        ("你好", {"kind": "chat", "language": "zh", "needs_tools": False, "plan": []}),
        ("fail", {"kind": "chat", "language": "en", "needs_tools": False, "plan": []}),
    ],
)
@pytest.mark.parametrize("choice", [FORCED, "required", "auto", None])
def test_an_intent_is_filled_from_the_last_message(text: str, expected: dict[str, Any], choice: Any) -> None:
    parts = [{"type": "text", "text": text}, {"type": "text", "text": REMINDER}]
    script = ask(user(parts), tools={"generate_structured_output": INTENT}, tool_choice=choice)
    assert calls_of(script) == [("generate_structured_output", expected)]
    assert script.pace is Pace.AT_ONCE


def test_a_summary_keeps_the_facts() -> None:
    schema = {
        "$defs": {"Note": {"type": "string", "maxLength": 60}},
        "properties": {"task_overview": {"type": "string"}, "note": {"$ref": "#/$defs/Note"}},
        "required": ["task_overview", "note"],
    }
    script = ask(
        "my name is Ada",
        "Now write a summary.",
        tools={"generate_structured_output": schema},
        tool_choice=FORCED,
    )
    [(_, summary)] = calls_of(script)
    assert "my name is Ada" in summary["task_overview"]
    assert "my name is Ada" in summary["note"]
    assert len(summary["note"]) <= 60


def test_a_forced_tool_gets_fitting_arguments() -> None:
    forced = {"type": "function", "function": {"name": "setTheme"}}
    assert calls_of(ask("anything", tool_choice=forced)) == [("setTheme", {"theme": "light", "level": 1})]
    wished = ask('call the tool setTheme with {"theme": "dark", "level": 2}', tool_choice=forced)
    assert calls_of(wished) == [("setTheme", {"theme": "dark", "level": 2})]


def test_required_takes_the_tool_that_was_asked_for() -> None:
    assert calls_of(ask("call the tool recall", tool_choice="required")) == [("recall", {})]


def test_structured_output_fails_only_on_its_own_word() -> None:
    offered: dict[str, Any] = {"tools": {"generate_structured_output": INTENT}, "tool_choice": FORCED}
    assert ask("fail intent", **offered).failure is Failure.UNAVAILABLE
    assert ask("fail mid", **offered).failure is None


def test_a_json_response_format_is_filled() -> None:
    shape = {"type": "json_schema", "json_schema": {"name": "intent", "schema": INTENT}}
    assert orjson.loads(ask("what time is it", response_format=shape).text)["needs_tools"] is True


def test_a_reminder_to_write_a_title_gets_one_that_quotes_the_user() -> None:
    asked = ask("calculate 6*7", {"role": "assistant", "content": "42"}, TITLE_REQUEST, tools={})
    assert (asked.text, asked.calls, asked.pace) == ("About “calculate 6*7”", (), Pace.AT_ONCE)


def test_a_reminder_to_report_gets_a_report_of_the_results() -> None:
    turn = [user("calculate 6*7"), called(("c", "calculate", '{"expression": "6*7"}')), answered("c", "42")]
    told = {"role": "assistant", "content": "Done."}
    script = ask(*turn, told, "<system-reminder>Write the final report.</system-reminder>", tools={})
    assert "calculate 6*7" in script.text
    assert "42" in script.text
    assert not script.calls


def test_a_report_without_results_repeats_the_answer() -> None:
    told = {"role": "assistant", "content": "It was a fine day."}
    script = ask("How was it?", told, "<system-reminder>Write the report.</system-reminder>")
    assert "It was a fine day." in script.text


def test_the_receipt_of_structured_output_is_not_told() -> None:
    turn = [user("hello"), called(("c", "GenerateStructuredOutput", "{}")), answered("c", "Generated.")]
    assert "Generated" not in ask(*turn).text


@pytest.mark.parametrize(
    "reminder",
    [
        "Cite it, such as [1].\n----- begin 0 -----\n[3] Returns (/help)\nWithin 30 days.\n----- end 0 -----",
        "<content>[3] (source: returns.md)\nWithin 30 days.</content>",
    ],
)
def test_a_passage_that_comes_with_the_message_is_quoted_and_cited(reminder: str) -> None:
    script = ask(f"May I return it?\n\n<system-reminder>\n{reminder}\n</system-reminder>")

    assert "Within 30 days." in script.text
    assert "[3]" in script.text


def test_other_reminders_change_nothing() -> None:
    script = ask("calculate 6*7", "<system-reminder>The context is nearly full.</system-reminder>")
    assert calls_of(script) == [("calculate", {"expression": "6*7"})]


@pytest.mark.parametrize("body", [{}, {"messages": []}, {"messages": "hi"}, {"messages": ["hi"]}])
def test_what_is_no_chat_request_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(RequestInvalid):
        decide(body)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user"},
        {"role": "user", "content": 5},
        {"role": "user", "content": ["text", {"type": "text"}]},
        {"role": "assistant", "content": None, "tool_calls": ["x", {"function": "y"}]},
        {"role": "tool", "content": None},
        {"content": "hi"},
    ],
)
def test_odd_messages_are_survived(message: dict[str, Any]) -> None:
    assert ask(message, tools={}, tool_choice={"type": "function"}).text


@pytest.mark.parametrize("call_id", [None, {}, [], 5], ids=repr)
def test_a_call_whose_id_is_no_text_has_a_result_all_the_same(call_id: Any) -> None:
    call = {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    [result] = read_conversation(
        {
            "messages": [
                {"role": "user", "content": "hello"},
                {"role": "assistant", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": call_id, "content": "done"},
            ]
        }
    ).results

    assert (result.name, result.text) == ("f", "done")
