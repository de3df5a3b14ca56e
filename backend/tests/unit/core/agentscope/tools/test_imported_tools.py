"""What ``import`` in a profile may name, here and from the child process that only lists it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from core.agentscope.tools.errors import ToolDefinitionError
from core.agentscope.tools.foreign_tools import ForeignTool
from core.agentscope.tools.imported_tools import load_tools
from core.agentscope.tools.spec import ToolContext, ToolOutcome
from core.agentscope.tools.tool_listing import lister
from core.config import ToolSettings

SETTINGS = ToolSettings(timeout_seconds=3)
MODULE = '''
from collections.abc import AsyncIterator, Iterator
from functools import partial

from agentscope.permission import PermissionBehavior, PermissionDecision
from agentscope.tool import AskUser, FunctionTool, TaskCreate, ToolBase, ToolChunk
from agentscope.message import TextBlock

from agentroute.tools import ToolContext, tool

print("a module may say something")

@tool(permission="allow", read_only=True)
def shout(text: str) -> str:
    """Say it loud."""
    return text.upper()

class box:
    inner = shout

def plain(text: str, context: ToolContext, times: int = 1) -> str:
    """Say it.

    Args:
        text: What to say.
    """
    return f"{context.thread_id}: {text}" * times

async def later(text: str) -> ToolChunk:
    """Say it later."""
    return ToolChunk(content=[TextBlock(text=text)])

def pieces(text: str) -> Iterator[str]:
    """Say it letter by letter."""
    yield from text

async def chunks(text: str) -> AsyncIterator[ToolChunk]:
    """Say it in chunks."""
    for letter in text:
        yield ToolChunk(content=[TextBlock(text=letter)], is_last=False)

def _of(tenant: str, text: str) -> str:
    """Say it for a tenant."""
    return f"{tenant}: {text}"

bound = partial(_of, tenant="shop")

class Greeter:
    def __init__(self, greeting: str = "hello") -> None:
        self.greeting = greeting
    def greet(self, text: str) -> str:
        """Greet somebody."""
        return f"{self.greeting} {text}"
    __call__ = greet

greeter = Greeter()

class Echo(ToolBase):
    name = "Echo"
    description = "Say it again."
    input_schema = {"type": "object", "properties": {"text": {"type": "string", "title": "Text"}}}
    is_concurrency_safe = True
    is_read_only = False

    async def check_permissions(self, tool_input, context):
        return PermissionDecision(PermissionBehavior.PASSTHROUGH, "")

    async def call(self, text: str) -> ToolChunk:
        return ToolChunk(content=[TextBlock(text=text)])

class Needs(Echo):
    def __init__(self, pool: object) -> None:
        super().__init__()

class Breaks(Echo):
    def __init__(self) -> None:
        raise RuntimeError("no pool")

class NoSchema(Echo):
    input_schema = {}

class NoJson(Echo):
    input_schema = {"type": "object", "properties": {"text": {"enum": {"a", "b"}}}}

echo = Echo()
wrapped = FunctionTool(pieces)
asks = FunctionTool(later, permission=PermissionDecision(PermissionBehavior.ASK, "ask"))
several = [plain, (Echo), wrapped]
empty = ()
mixed = [plain, 3]
number = 3

def untyped(text) -> str:
    """No type."""
    return text

def odd(place: Greeter) -> str:
    """Odd type."""
    return ""

def silent(text: str) -> str:
    return text

def many(*texts: str) -> str:
    """Many."""
    return ""

def unknown(text: "Nowhere") -> str:
    """Unknown."""
    return ""
'''


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("own_tools")
    (folder / "own_tools.py").write_text(MODULE)
    (folder / "own_broken.py").write_text("import nothing_that_exists")
    (folder / "own_exit.py").write_text("import os; os._exit(7)")
    sys.path.insert(0, str(folder))
    yield "own_tools"
    sys.path.remove(str(folder))
    sys.modules.pop("own_tools", None)


@pytest.mark.parametrize(
    ("attribute", "said"),
    [
        ("shout", "HI"),
        ("box.inner", "HI"),
        ("plain", "t-1: hi"),
        ("later", "hi"),
        ("pieces", "hi"),
        ("chunks", "hi"),
        ("bound", "shop: hi"),
        ("greeter", "hello hi"),
        ("greeter.greet", "hello hi"),
        ("Echo", "hi"),
        ("echo", "hi"),
        ("wrapped", "hi"),
    ],
)
async def test_what_can_be_called_is_a_tool(
    module: str, context: ToolContext, attribute: str, said: str
) -> None:
    (tool,) = load_tools(f"{module}:{attribute}", SETTINGS)

    assert tool.timeout_seconds == 3
    assert await tool.call({"text": "hi"}, context) == ToolOutcome("success", said)


def test_the_schema_comes_from_hints_and_docstring_and_hides_what_is_decided(module: str) -> None:
    schemas = {
        each.name: each.json_schema()
        for reference in ("several", "bound")
        for each in load_tools(f"{module}:{reference}")
    }

    assert schemas["plain"]["properties"] == {
        "text": {"type": "string", "description": "What to say."},
        "times": {"type": "integer", "default": 1},
    }
    assert list(schemas) == ["plain", "Echo", "pieces", "bound"]
    assert schemas["Echo"]["properties"] == {"text": {"type": "string"}}
    assert list(schemas["bound"]["properties"]) == ["text"]


MISTAKES = {
    "": "package.module:attribute",
    ":": "package.module:attribute",
    ":shout()": "package.module:attribute",
    ":absent": "has no absent",
    ":untyped": r"own_tools.py:\d+: untyped: parameter text has no type hint; write one, such as text: str",
    ":odd": r"own_tools.py:\d+: odd: parameter place's type has no JSON Schema: .*; use str, int",
    ":silent": r"own_tools.py:\d+: silent: a tool needs a docstring",
    ":many": r"own_tools.py:\d+: many: parameter texts cannot be passed by name",
    ":unknown": r"own_tools.py:\d+: unknown: a type hint names something unknown: name 'Nowhere'",
    ":number": "an object of type int is no tool; name a function",
    ":mixed": r"own_tools:mixed\[1\]: an object of type int is no tool",
    ":empty": "the list is empty",
    ":Greeter": "the class Greeter is no tool",
    ":Needs": "Needs cannot be made without arguments",
    ":Breaks": r"own_tools.py:\d+: RuntimeError: no pool",
    ":NoSchema": "NoSchema: input_schema must be",
    ":AskUser": "AskUser is carried out by the client",
    ".sub:shout": "cannot import",
}


@pytest.mark.parametrize("suffix", MISTAKES)
def test_wrong_reference_says_in_one_line_what_is_wrong(module: str, suffix: str) -> None:
    with pytest.raises(ToolDefinitionError, match=MISTAKES[suffix]) as refused:
        load_tools(module + suffix)

    assert "\n" not in str(refused.value)


def test_a_child_process_lists_what_is_loaded_here_and_refuses_the_same(module: str) -> None:
    good = [f"{module}:{name}" for name in ("shout", "asks", "several")]
    bad = [f"{module}:untyped", "own_broken:shout"]
    load = lister([*good, *bad])

    for reference in good:
        listed, loaded = load(reference, SETTINGS), load_tools(reference, SETTINGS)
        assert [(each.name, each.description, each.json_schema(), each.permission) for each in listed] == [
            (each.name, each.description, each.json_schema(), each.permission) for each in loaded
        ]
        assert [isinstance(each, ForeignTool) and each.stated for each in listed] == [
            isinstance(each, ForeignTool) and each.stated for each in loaded
        ]
    for reference in bad:
        with pytest.raises(ToolDefinitionError) as there:
            load(reference, SETTINGS)
        with pytest.raises(ToolDefinitionError) as here:
            load_tools(reference)
        assert str(there.value) == str(here.value)
    assert lister([])


def test_a_module_that_ends_the_process_is_named(module: str) -> None:
    load = lister([f"{module}:shout", "own_exit:send"])

    # The mistake is that of the profile that names it.
    assert [each.name for each in load(f"{module}:shout", SETTINGS)] == ["shout"]
    with pytest.raises(
        ToolDefinitionError, match=r"own_exit:send: the import of its module ended .* exit code 7"
    ):
        load("own_exit:send", SETTINGS)


def test_a_tool_that_cannot_describe_itself_is_named(module: str) -> None:
    reference = f"{module}:NoJson"
    with pytest.raises(ToolDefinitionError, match=f"{reference}: .*TypeError: .* not JSON serializable"):
        lister([reference])(reference, SETTINGS)


def test_a_module_that_does_not_come_to_an_end_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(arguments: list[str], timeout: float, **_more: object) -> None:
        raise subprocess.TimeoutExpired(arguments, timeout, output=b'{"tools": []}\n')

    monkeypatch.setattr(subprocess, "run", run)
    references = ["quick:send", "hanging:send", "next:send"]
    load = lister(references)

    assert load(references[0], SETTINGS) == []
    with pytest.raises(ToolDefinitionError, match=r"^hanging:send: not imported after 120 seconds"):
        load(references[1], SETTINGS)


def test_a_class_is_made_once_however_often_it_is_loaded(module: str) -> None:
    first, second = (load_tools(f"{module}:Echo")[0] for _ in range(2))
    assert isinstance(first, ForeignTool)
    assert isinstance(second, ForeignTool)
    assert first.original is second.original
