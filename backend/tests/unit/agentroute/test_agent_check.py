"""``agentroute check``: what it tells of an agent, and what it refuses."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agentroute.agent_check import check_agent, run_check
from core.config import ModelSettings, Settings

SETTINGS = Settings(model=ModelSettings(base_url="http://model/v1", name="m"))

AGENT = '''
from agentroute.agents import AgentRun, lifespan
from agentscope.agent import Agent, ModelConfig
from agentscope.credential import OpenAICredential
from agentscope.middleware import MiddlewareBase
from agentscope.model import OpenAIChatModel
from agentscope.permission import PermissionBehavior, PermissionContext, PermissionDecision, PermissionMode
from agentscope.state import AgentState
from agentscope.tool import FunctionTool, Toolkit

ALLOW = PermissionDecision(PermissionBehavior.ALLOW, "ours")
THEIRS = OpenAIChatModel(OpenAICredential(api_key="k", base_url="https://api.shop.example/v1"), "theirs")

@lifespan
async def resources():
    yield {"orders": 3}

class Direct(OpenAIChatModel):
    async def __call__(self, *args, **more): pass

class Rag(MiddlewareBase):
    def __init__(self):
        self.reranker = THEIRS
        self.rewriter = Direct(THEIRS.credential, "direct")
    async def on_system_prompt(self, agent, current_prompt):
        return current_prompt

def look(): """Look."""
def ship(): """Ship."""
def calculate(): """Calculate."""

class NoGate(Agent):
    async def _acting(self, tool_call):
        yield tool_call

def script(run):
    tools = [FunctionTool(look, permission=ALLOW), FunctionTool(ship)]
    return Agent("shop", "Sell.", THEIRS, toolkit=Toolkit(tools=tools, skills_or_loaders=[SKILLS]), middlewares=[Rag()])

async def tidy(run):
    assert run.is_check and run.resources == {"orders": 3}
    return Agent("assistant", run.system_prompt, run.model, toolkit=run.toolkit(), state=run.state,
                 middlewares=run.middlewares)

def nothing(run): return None
def gateless(run): return NoGate("shop", "Sell.", THEIRS)
def broken(run): return 1 / 0
async def asking(run):
    async for _ in await run.model([]): pass
def bypassing(run):
    state = AgentState(permission_context=PermissionContext(mode=PermissionMode.BYPASS))
    return Agent("shop", "Sell.", THEIRS, state=state)
def doubled(run): return Agent("shop", "Sell.", THEIRS, toolkit=Toolkit(tools=[FunctionTool(calculate)]))
def modelless(run): return Agent("shop", "Sell.", "gpt-4")
def no_fallback(run):
    return Agent("shop", "Sell.", THEIRS, model_config=ModelConfig.model_construct(max_retries=0, fallback_model="x"))
NOT_A_FUNCTION = 3

class Tagged(MiddlewareBase):
    def __init__(self, tag, colour="red"):
        self.tag = tag
    async def on_system_prompt(self, agent, current_prompt):
        return current_prompt + self.tag

class Searching(MiddlewareBase):
    async def on_system_prompt(self, agent, current_prompt):
        return current_prompt
    async def list_tools(self):
        return [FunctionTool(look, permission=ALLOW)]

class Clashing(MiddlewareBase):
    async def list_tools(self):
        return [FunctionTool(calculate)]

class Failing(MiddlewareBase):
    async def list_tools(self):
        return 1 / 0

async def tagged(of: AgentRun, tag: str):
    assert of.resources == {"orders": 3}
    return Tagged(tag)

rag = Rag()
def no_middleware(): return 3
NO_RUN_IS_CALLED = []
async def chat(run):
    NO_RUN_IS_CALLED.append(run)
    yield "hello"
def plain(run): return "hello"
class Flow:
    async def run(self, run, then): yield "hello"
flow = Flow()
def lonely(): yield "hello"
'''
SKILL = "---\nname: refunds\ndescription: How to refund.\n---\nAsk first.\n"


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "skills").mkdir()
    (tmp_path / "skills" / "SKILL.md").write_text(SKILL, encoding="utf-8")
    code = AGENT.replace("SKILLS", repr(str(tmp_path / "skills")))
    (tmp_path / "checked_shop.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("checked_shop", None)


def profile(folder: Path, factory: str, kind: str = "factory") -> Path:
    path = folder / "agent.toml"
    tool = '[[tools]]\nname = "calculate"\npermission = "ask"\n'
    path.write_text(
        f'name = "Shop"\ndescription = "Sells."\n[agent]\n{kind} = "{factory}"\n{tool}', encoding="utf-8"
    )
    return path


def checked(path: Path, settings: Settings = SETTINGS) -> tuple[int, dict[str, Any]]:
    console = Console(file=io.StringIO(), width=200)
    code = run_check(settings, path, as_json=True, console=console)
    written: Any = console.file
    return code, json.loads(written.getvalue())


def test_an_agent_of_a_script_is_described_with_what_was_installed(tmp_path: Path) -> None:
    # No model of the deployment is needed for an agent that brings its own.
    code, found = checked(profile(tmp_path, "checked_shop:script"), Settings())

    assert (code, found["ok"], found["problems"]) == (0, True, [])
    assert {tool["name"]: (tool["permission"], tool["of"]) for tool in found["tools"]} == {
        "look": ("allow", "agent"),
        "ship": ("ask", "agent"),
        "calculate": ("ask", "profile"),
    }
    assert found["models"] == {"agent": "theirs (OpenAIChatModel, api.shop.example, metered)"}
    assert found["stages"] == {"intent": "off", "execution": "always", "report": "off", "title": "words"}
    assert (found["skills"], found["middlewares"]) == (["refunds"], ["Rag"])
    assert found["warnings"] == ["Rag.rewriter is a model that is not metered; give it run.meter(model)"]
    changes = " ".join(change["what"] for change in found["changes"])
    for words in (
        "metered",
        "conversation",
        "called assistant",
        "cancelled",
        "time of day",
        "gate",
        "profile",
    ):
        assert words in changes


def test_an_agent_that_takes_everything_needs_little(tmp_path: Path) -> None:
    code, found = checked(profile(tmp_path, "checked_shop:tidy"))

    assert code == 0
    assert [tool["name"] for tool in found["tools"]] == ["calculate"]
    assert not any(
        "Pass" in change["advice"] and "middlewares" in change["advice"] for change in found["changes"]
    )


REFUSED = {
    "nothing": "the factory returned NoneType; return an agentscope.agent.Agent",
    "gateless": "NoGate overrides _acting",
    "broken": "ZeroDivisionError",
    "asking": "No model is asked while the agent is only looked at",
    "bypassing": "The permission mode bypass lets every tool act without asking",
    "doubled": "the tool calculate is in the toolkit and in the profile",
    "modelless": "agent.model is str; it must be a ChatModelBase",
    "no_fallback": "model_config.fallback_model is str",
    "NOT_A_FUNCTION": "not a function",
    "missing": "has no missing",
}


@pytest.mark.parametrize("factory", REFUSED)
def test_what_runs_could_not_use_is_refused_with_what_to_do(factory: str, tmp_path: Path) -> None:
    code, found = checked(profile(tmp_path, f"checked_shop:{factory}"))

    assert code == 1
    assert REFUSED[factory] in found["problems"][0]
    assert "\n" not in found["problems"][0]


@pytest.mark.parametrize(("function", "kind"), [("chat", "async generator"), ("plain", "function")])
def test_a_runner_is_described_and_not_called(function: str, kind: str, tmp_path: Path) -> None:
    code, found = checked(profile(tmp_path, f"checked_shop:{function}", "runner"))

    assert (code, found["problems"], found["kind"]) == (0, [], kind)
    assert (found["runner"], found["factory"]) == (f"checked_shop:{function}", None)
    assert found["models"] == {"run.model": "m (of the profile)"}
    assert found["stages"]["report"] == "off"
    assert [(tool["name"], tool["permission"]) for tool in found["tools"]] == [("calculate", "ask")]
    assert sys.modules["checked_shop"].NO_RUN_IS_CALLED == []


NO_RUNNER = {
    "NOT_A_FUNCTION": "not a function; write `async def run(run: AgentRun)`",
    "Flow": "not a function",
    "flow.run": "is called with one argument, the run, and takes (run, then)",
    "lonely": "takes ()",
    "missing": "has no missing",
}


@pytest.mark.parametrize("function", NO_RUNNER)
def test_what_is_no_runner_is_refused_with_what_to_do(function: str, tmp_path: Path) -> None:
    code, found = checked(profile(tmp_path, f"checked_shop:{function}", "runner"))

    assert code == 1
    assert NO_RUNNER[function] in found["problems"][0]
    assert "\n" not in found["problems"][0]


def test_a_module_that_is_not_there_says_where_to_put_it(tmp_path: Path) -> None:
    code, found = checked(profile(tmp_path, "nowhere.agent:create_agent"))

    assert code == 1
    assert "PYTHONPATH" in found["problems"][0]


def test_the_agent_of_a_profile_is_described_too(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('name = "Ada"\ndescription = "Helps."\n', encoding="utf-8")

    code, found = checked(path)

    assert (code, found["factory"], found["models"]) == (0, None, {"agent": "m (of the profile)"})


def test_a_search_function_that_cannot_be_called_is_refused_as_the_worker_does(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(
        'name = "Ada"\ndescription = "Helps."\n[knowledge]\nretrieve = "checked_shop:nothing"\n',
        encoding="utf-8",
    )

    code, found = checked(path)

    assert code == 1
    assert (
        f"{path}: knowledge.retrieve: checked_shop:nothing: cannot be called with a query"
        in found["problems"][0]
    )


def test_the_text_names_the_tools_and_ends_with_a_verdict(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=200)
    written: Any = console.file

    run_check(SETTINGS, profile(tmp_path, "checked_shop:script"), as_json=False, console=console)

    text = written.getvalue()
    assert "checked_shop:script" in text
    assert "ship" in text
    assert text.rstrip().endswith("ok: runs can use this agent")


async def test_doctor_tells_whether_the_agent_can_be_made(tmp_path: Path) -> None:
    path = profile(tmp_path, "checked_shop:broken")

    result = await check_agent(SETTINGS.model_copy(update={"profile_path": path}))

    assert not result.ok
    assert "agentroute check" in result.line


def test_every_agent_of_a_folder_is_checked_and_a_mistake_names_its_file(tmp_path: Path) -> None:
    agents = tmp_path / "agents"
    agents.mkdir()
    profile(agents, "checked_shop:script").rename(agents / "shop.toml")
    (agents / "desk.toml").write_text('name = "Desk"\ndescription = "d"\ndefault = true\n')
    code, told = checked(agents)
    assert (code, told["ok"]) == (0, True)
    assert {agent_id: found["name"] for agent_id, found in told["agents"].items()} == {
        "desk": "Desk",
        "shop": "Shop",
    }

    profile(agents, "checked_shop:nothing").rename(agents / "shop.toml")
    code, told = checked(agents)
    assert (code, told["ok"]) == (1, False)
    assert [agent_id for agent_id, found in told["agents"].items() if not found["ok"]] == ["shop"]

    profile(agents, "checked_shop:no_such").rename(agents / "shop.toml")
    code, told = checked(agents)
    assert (code, told["ok"]) == (1, False)
    assert told["problems"][0].startswith(f"{agents / 'shop.toml'}: ")


async def test_doctor_names_the_skills_and_the_middlewares_of_a_profile(tmp_path: Path) -> None:
    path = with_parts(tmp_path, middleware("Searching") + '[skills]\npaths = ["skills"]\n')

    result = await check_agent(SETTINGS.model_copy(update={"profile_path": path}))

    assert (result.ok, result.found) == (
        True,
        "Shop: 2 tools, model m (of the profile), skills refunds, middlewares Searching",
    )


async def test_doctor_names_the_file_of_the_agent_that_cannot_be_made(tmp_path: Path) -> None:
    agents = tmp_path / "agents"
    agents.mkdir()
    profile(agents, "checked_shop:nothing").rename(agents / "shop.toml")
    (agents / "desk.toml").write_text('name = "Desk"\ndescription = "d"\ndefault = true\n')

    result = await check_agent(SETTINGS.model_copy(update={"profile_path": agents}))

    assert not result.ok
    assert result.found.startswith("shop.toml: ")


def with_parts(folder: Path, parts: str) -> Path:
    path = folder / "agent.toml"
    tool = '[[tools]]\nname = "calculate"\npermission = "ask"\n'
    path.write_text(f'name = "Shop"\ndescription = "Sells."\n{tool}{parts}', encoding="utf-8")
    return path


def middleware(attribute: str, more: str = "") -> str:
    return f'[[middlewares]]\nimport = "checked_shop:{attribute}"\n{more}\n'


def test_middlewares_and_skills_of_a_profile_without_a_factory_are_described(tmp_path: Path) -> None:
    parts = (
        middleware("tagged", 'arguments = { tag = "a" }')
        + middleware("Searching")
        + middleware("rag")
        + '[skills]\npaths = ["skills"]\n'
    )

    code, found = checked(with_parts(tmp_path, parts))

    assert (code, found["problems"], found["factory"], found["changes"]) == (0, [], None, [])
    assert (found["middlewares"], found["skills"]) == (["Tagged", "Searching", "Rag"], ["refunds"])
    assert {tool["name"]: tool["permission"] for tool in found["tools"]} == {
        "calculate": "ask",
        "look": "allow",
    }
    assert found["models"] == {"agent": "m (of the profile)"}
    assert found["warnings"] == ["Rag.rewriter is a model that is not metered; give it run.meter(model)"]


PARTS_REFUSED = {
    middleware(
        "Tagged"
    ): "middlewares[0]: checked_shop:Tagged: missing a required argument: 'tag'; set arguments",
    middleware("Tagged", 'arguments = { tag = "a", size = 3 }'): "unexpected keyword argument 'size'",
    middleware("tagged", 'arguments = { tag = "a", of = 3 }'): "arguments.of is the run itself",
    middleware("rag", "arguments = { a = 1 }"): "is made already, so arguments have no effect",
    middleware("no_middleware"): "returned int; return a middleware of AgentScope (MiddlewareBase)",
    middleware("broken"): "middlewares[0]: checked_shop:broken: ",
    middleware("NOT_A_FUNCTION"): "an object of type int is no middleware",
    middleware("NoGate"): "the class NoGate is no middleware",
    middleware("missing"): "middlewares[0]: checked_shop:missing: checked_shop has no missing",
    middleware("Failing"): "Failing.list_tools: ",
    middleware("Clashing"): "the tool calculate of a middleware has the name of another tool",
    '[skills]\npaths = ["nowhere"]\n': "nowhere: there is no such folder; name a folder with a SKILL.md",
}


@pytest.mark.parametrize("place", range(len(PARTS_REFUSED)))
def test_a_middleware_or_a_skill_that_cannot_be_used_is_refused_in_one_line(
    place: int, tmp_path: Path
) -> None:
    parts, complaint = list(PARTS_REFUSED.items())[place]

    code, found = checked(with_parts(tmp_path, parts))

    assert code == 1
    assert complaint in found["problems"][0]
    assert "\n" not in found["problems"][0]
