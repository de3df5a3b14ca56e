"""Changes of the shared state as a table: a sentence and a state in, a JSON Patch out."""

from __future__ import annotations

from typing import Any

import jsonpatch
import orjson
import pytest

from agentroute.demo import answers
from agentroute.demo.script import Script, decide


def ask(text: str, state: Any = None, *more: dict[str, Any], offers: bool = True) -> Script:
    prompt = "You are it."
    if state is not None:
        prompt += f"\n- State shared with the application (JSON): {orjson.dumps(state).decode()}\n\n1. Plan"
    tools = [{"type": "function", "function": {"name": "update_state", "parameters": {}}}] if offers else []
    messages = [{"role": "system", "content": prompt}, {"role": "user", "content": text}, *more]
    return decide({"messages": messages, "tools": tools})


@pytest.mark.parametrize(
    ("text", "state", "after"),
    [
        ("put milk on the list", {"list": []}, {"list": ["milk"]}),
        (
            "Please add eggs, tea and bread to my list!",
            {"list": ["a"]},
            {"list": ["a", "eggs", "tea", "bread"]},
        ),
        ("put milk on the shopping list", {"list": []}, {"list": ["milk"]}),
        (
            "put milk on the shopping list",
            {"list": [], "shoppingList": []},
            {"list": [], "shoppingList": ["milk"]},
        ),
        ("put milk on the list", {"a/b": ["x"]}, {"a/b": ["x", "milk"]}),
        ("put milk on the list", {"name": "Ada"}, {"name": "Ada", "list": ["milk"]}),
        ("put milk on the shopping list", {"todos": []}, {"todos": [], "shopping_list": ["milk"]}),
        ("put milk on the list", ["tea"], ["tea", "milk"]),
        (
            "add milk to the list",
            {"todos": [{"text": "tea", "done": True}]},
            {"todos": [{"text": "tea", "done": True}, {"text": "milk", "done": False}]},
        ),
        ("take milk off the list", {"list": ["Milk", "tea", "milk"]}, {"list": ["tea"]}),
        ("remove tea from the list", {"todos": [{"text": "tea"}, {"text": "x"}]}, {"todos": [{"text": "x"}]}),
    ],
)
def test_a_sentence_changes_the_state(text: str, state: Any, after: Any) -> None:
    [call] = ask(text, state).calls
    assert call.name == "update_state"
    assert jsonpatch.apply_patch(state, orjson.loads(call.arguments)["operations"]) == after


def test_a_second_step_sees_the_change_of_the_first() -> None:
    text = "put milk on the list and then put tea on the list"
    call = {"id": "c", "type": "function", "function": {"name": "update_state", "arguments": "{}"}}
    done: list[dict[str, Any]] = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": '{"name": "Ada", "list": ["milk"]}'},
    ]
    [second] = ask(text, {"name": "Ada"}, *done).calls
    assert orjson.loads(second.arguments) == {
        "operations": [{"op": "add", "path": "/list/-", "value": "tea"}]
    }
    assert "list: milk" in ask("put milk on the list", {"name": "Ada"}, *done).text


@pytest.mark.parametrize(
    ("text", "state", "offers", "said"),
    [
        ("take milk off the list", {"list": ["tea"]}, True, answers.NOT_ON_THE_LIST),
        ("take milk off the list", {"list": ["tea"]}, False, answers.NO_STATE),
        ("put milk on the list", None, False, answers.NO_STATE),
        ("what is on the list?", None, False, answers.NO_STATE),
        ("what is on the list?", {"list": ["tea", "milk"]}, True, "tea, milk"),
        ("what's on my list", {"list": []}, True, "nothing yet"),
        ("what is on the list?", {"n": 1}, True, "no such list"),
        ("put the book on the table", {"list": []}, True, "You said"),
    ],
)
def test_other_answers(text: str, state: Any, offers: bool, said: str) -> None:
    script = ask(text, state, offers=offers)
    assert not script.calls
    assert said in script.text
