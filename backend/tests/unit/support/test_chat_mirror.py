"""The reducer of the Flutter app in Dart and its mirror in Python have the same functions, cases and fields, in one order.

What they do is compared by the vectors of ``contract/``; this is what would drift without a word where no Dart runs.
"""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest
from tests.support.chat_state import ChatState

from agentroute.client.wire_form import wire_name

_ROOT = Path(__file__).parents[4]
_SUPPORT = _ROOT / "backend" / "tests" / "support"
_CHAT = _ROOT / "apps" / "lib" / "features" / "chat"
_DOMAIN = _CHAT / "domain"

_FUNCTION = re.compile(r"^(?!final )[A-Za-z][\w<>?, ]* (_?[a-z]\w*)\(", re.MULTILINE)
_ARM = re.compile(r"final (\w+) it => (_\w+)\(state, it\)")
_CASE = re.compile(r"'(agentroute\.[a-z-]+)' => (\w+)\._")
_ONLY_IN_PYTHON = {"_index"}
"""Dart's lists have it."""


def _dart(name: str) -> str:
    return (_DOMAIN / f"{name}.dart").read_text()


def _python(name: str) -> ast.Module:
    return ast.parse((_SUPPORT / f"{name}.py").read_text())


def _in_dart(name: str) -> str:
    """Return a Python name as Dart writes it."""
    leading = "_" if name.startswith("_") else ""
    return leading + wire_name(name.removeprefix("_"))


def _function(tree: ast.Module, name: str) -> ast.FunctionDef:
    return next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)


@pytest.mark.parametrize("name", ["chat_cursor", "chat_messages", "chat_reducer", "json_patch"])
def test_both_have_the_same_functions_in_the_same_order(name: str) -> None:
    ours = [node.name for node in _python(name).body if isinstance(node, ast.FunctionDef)]

    assert [_in_dart(each) for each in ours if each not in _ONLY_IN_PYTHON] == _FUNCTION.findall(_dart(name))


def _arms(tree: ast.Module) -> list[tuple[str, str]]:
    """Return the classes of events with the functions that take them, as Dart writes both."""
    [match] = [node for node in ast.walk(_function(tree, "reduce")) if isinstance(node, ast.Match)]
    arms: list[tuple[str, str]] = []
    for case in match.cases:
        if isinstance(case.pattern, ast.MatchClass):
            name, result = ast.unparse(case.pattern.cls), case.body[0]
            assert isinstance(result, ast.Return)
            assert isinstance(result.value, ast.Call)
            arms.append(
                (name.replace("UnknownEvent", "UnknownAgUiEvent"), _in_dart(ast.unparse(result.value.func)))
            )
    return arms


def test_both_take_the_same_events() -> None:
    assert _ARM.findall(_dart("chat_reducer").split("// --- runs")[0]) == _arms(_python("chat_reducer"))


def test_every_event_of_the_app_has_a_case() -> None:
    models = "\n".join(
        path.read_text() for path in sorted((_CHAT / "data" / "models").glob("ag_ui_event*.dart"))
    )
    events = re.findall(r"^final class (\w+) extends AgUiEvent ", models, re.MULTILINE)
    cases = re.findall(r"(\w+Event) it =>|(\w+Event)\(\)", _dart("chat_reducer").split("// --- runs")[0])

    assert len(events) > 30
    # A switch over a sealed class that lacks one does not compile.
    assert sorted(events) == sorted("".join(case) for case in cases)


def test_both_take_the_same_events_of_agentroutes_own() -> None:
    values = {
        class_: name
        for name, class_ in _CASE.findall((_CHAT / "data/models/agent_route_value.dart").read_text())
    }
    text = _dart("chat_reducer")
    dart = [values[class_] for class_ in re.findall(r"final (\w+Value) it =>", text)]
    dart += re.findall(r"'(agentroute\.[a-z-]+)'", text)
    tree = _python("chat_reducer")
    python = [
        str(node.value)
        for name in ("_custom", "_other")
        for node in ast.walk(_function(tree, name))
        if isinstance(node, ast.Constant) and str(node.value).startswith("agentroute.")
    ]

    assert sorted(dart) == sorted(python)
    assert "agentroute.input" in dart


def test_both_states_have_the_same_fields() -> None:
    text = _dart("chat_state").split("final class ChatState {")[1]
    [told] = re.findall(r"toJson\(\) \{\n    return \{\n(.*?)\n    \};", text, re.DOTALL)

    assert re.findall(r"^  final [\w<>?, ]+ (\w+);$", text, re.MULTILINE) == [
        wire_name(field.name) for field in fields(ChatState)
    ]
    assert re.findall(r"^      '(\w+)':", told, re.MULTILINE) == list(ChatState().to_json())


@pytest.mark.parametrize("enum", ["RunStatus", "CallStatus", "SubagentStatus"])
def test_python_has_the_words_of_the_app(enum: str) -> None:
    body = re.sub(r"///.*", "", re.findall(rf"enum {enum} \{{(.*?)\}}", _dart("chat_state"), re.DOTALL)[0])
    words = re.findall(r"\w+", body)
    python = "".join((_SUPPORT / f"chat_{name}.py").read_text() for name in ("state", "reducer"))

    assert [word for word in words if f'"{word}"' not in python] == []
