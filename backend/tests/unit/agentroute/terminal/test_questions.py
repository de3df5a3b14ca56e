"""Every kind of question, and every way to answer it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, cast

import pytest

from agentroute.client import AgentRouteClient, AgentRouteError, Interrupt
from agentroute.terminal.plain_view import PlainView
from agentroute.terminal.questions import Questions


class Keys:
    """Answers with what a test says, one after the other."""

    def __init__(self, *answers: str) -> None:
        self._answers = iter(answers)
        self.offered: list[str] = []

    def line(self, prompt: str, *, default: str = "", is_secret: bool = False) -> str:
        self.offered.append(f"{prompt}{'*' if is_secret else ''}{default}")
        return next(self._answers)

    def message(self) -> str:
        return next(self._answers)

    def key(self, question: str, choices: Mapping[str, str]) -> str:
        self.offered.append("".join(choices))
        return next(self._answers)

    def edited(self, text: str) -> str:
        self.offered.append(text)
        return next(self._answers)


class Tokens:
    """Takes the token "good" and no other."""

    def connect_server(self, server: str, token: str) -> None:
        if (server, token) != ("git", "good"):
            raise AgentRouteError("not this one")


def asked_for(members: dict[str, Any]) -> Interrupt:
    return Interrupt(**members)


APPROVED = {"type": "object", "properties": {"approved": {"type": "boolean"}}}
EDITABLE = {"type": "object", "properties": {"approved": {}, "input": {}}}
CALL: dict[str, Any] = {"id": "i", "reason": "tool_approval", "message": "May I?", "tool_call_id": "c"}
LOGIN: dict[str, Any] = {"id": "i", "reason": "connection_required", "message": "Log in."}
CALLS = {"c": ("look", '{"x":1}')}
YES = {"interruptId": "i", "status": "resolved"}
NO = {"interruptId": "i", "status": "cancelled"}


@pytest.mark.parametrize(
    ("interrupt", "keys", "expected", "offered"),
    [
        (CALL | {"response_schema": APPROVED}, ["a"], YES | {"payload": {"approved": True}}, ["ad"]),
        (CALL | {"response_schema": APPROVED}, ["d"], NO, ["ad"]),
        (
            CALL | {"response_schema": EDITABLE},
            ["e", "{", "[]", '{"x": 2}'],
            YES | {"payload": {"approved": True, "input": {"x": 2}}},
            ["ade", '{"x": 1}', "{", "[]"],
        ),
        (LOGIN | {"metadata": {"server": "git", "url": "https://x.example"}}, ["c"], YES, ["cd"]),
        (LOGIN | {"metadata": {"server": "git", "url": "https://x.example"}}, ["d"], NO, ["cd"]),
        (
            LOGIN | {"metadata": {"server": "git"}},
            ["bad", "good"],
            YES,
            ["Token for git (empty: decline): *"] * 2,
        ),
        (LOGIN | {"metadata": {"server": "git"}}, [""], NO, ["Token for git (empty: decline): *"]),
        (CALL | {"response_schema": {"type": "string"}}, ["3"], YES | {"payload": "3"}, None),
        (CALL | {"response_schema": {"type": "integer"}}, ["x", "3"], YES | {"payload": 3}, None),
        (CALL, ["blue"], YES | {"payload": "blue"}, None),
        (CALL, [""], NO, None),
    ],
)
def test_a_question(
    interrupt: dict[str, Any], keys: list[str], expected: dict[str, Any], offered: list[str] | None
) -> None:
    asker = Keys(*keys)
    view = PlainView(io.StringIO(), io.StringIO(), CALLS)
    client = cast("AgentRouteClient", cast("object", Tokens()))
    questions = Questions(client, view, asker)
    assert questions.ask([asked_for(interrupt)]) == [expected]
    assert offered is None or asker.offered == offered


def test_several_questions_are_numbered_and_name_their_calls() -> None:
    notes = io.StringIO()
    client = cast("AgentRouteClient", cast("object", Tokens()))
    questions = Questions(client, PlainView(io.StringIO(), notes, CALLS), Keys("a", "d"))
    asked = [asked_for(CALL | {"id": each, "response_schema": APPROVED}) for each in ("i", "j")]
    assert [each["status"] for each in questions.ask(asked)] == ["resolved", "cancelled"]
    assert "(1/2) May I?  look(x=1)\n" in notes.getvalue()
