"""The first programs of the pages for authors of agents work as they are printed."""

from __future__ import annotations

import asyncio
import importlib
import io
import json
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.support.model_in_memory import Asks
from tests.support.stage_run import EMPTY, Run, after

from agentroute.agent_check import run_check
from core.agentscope.runtime.agent.thread_memory import Answered
from core.agentscope.schemas.internal_events import InterruptRequested, ToolResult
from core.agentscope.tools.calculate import calculate_tool
from core.config import ModelSettings, Settings

DOCS = Path(__file__).parents[3] / "docs"
MODULES = ("shop_agent", "shop_flow", "orders", "warehouse", "shop_kb", "shop_parts")
SETTINGS = Settings(model=ModelSettings(base_url="http://model/v1", name="m"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("SHOP_KEY", "k")
    yield
    for name in MODULES:
        sys.modules.pop(name, None)


def programs(page: str, language: str, heading: str = "") -> list[str]:
    """Return the fenced programs of a page, also those in lists; with a heading, those behind it."""
    _, found_heading, text = (DOCS / page).read_text(encoding="utf-8").partition(heading or "# ")
    assert found_heading
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(program) for _, program in found]


def checked(folder: Path, profile: str) -> tuple[int, dict[str, Any]]:
    """Return what ``agentroute check`` says."""
    path = folder / "agent.toml"
    path.write_text(profile, encoding="utf-8")
    written = io.StringIO()
    code = run_check(SETTINGS, path, as_json=True, console=Console(file=written, width=200))
    return code, json.loads(written.getvalue())


def test_the_script_of_the_page_on_agents_becomes_a_service_as_the_page_says(tmp_path: Path) -> None:
    script, change = programs("agents.md", "python")[:2]
    imported, _, signature = change.partition("\n\n")
    changed = script.replace("def create_agent() -> Agent:", signature.splitlines()[0])
    assert changed != script
    (tmp_path / "shop_agent.py").write_text(f"{imported}\n{changed}", encoding="utf-8")

    code, found = checked(tmp_path, programs("agents.md", "toml")[0])

    assert (code, found["problems"]) == (0, [])
    assert {tool["name"]: tool["permission"] for tool in found["tools"]} == {
        "find_order": "allow",
        "cancel_order": "ask",
    }


def test_the_search_of_the_page_on_knowledge_finds_what_its_user_may_read(tmp_path: Path) -> None:
    (tmp_path / "shop_kb.py").write_text(programs("knowledge.md", "python")[0], encoding="utf-8")

    code, found = checked(tmp_path, programs("knowledge.md", "toml")[0])
    module = importlib.import_module("shop_kb")
    read: dict[tuple[str, str], list[str]] = {}
    # A user of another tenant may have the same id.
    readers = (("shop", "ada"), ("shop", "bob"), ("another", "ada"))
    for tenant, user in readers:
        run = Run(
            [Asks("search_knowledge", '{"query": "discount and returns within 30 days"}')],
            ["[1]"],
            search=module.search,
            caller=user,
            tenant=tenant,
        )
        asyncio.run(run.run())
        read[tenant, user] = [result.content for result in run.of(ToolResult)]

    assert (code, found["problems"]) == (0, [])
    assert found["knowledge"] == "shop_kb:search (the model calls it as a tool)"
    assert [(tool["name"], tool["permission"]) for tool in found["tools"]] == [("search_knowledge", "allow")]
    assert ["10 percent" in read[reader][0] for reader in readers] == [True, False, False]
    assert "[1] Returns (/help/returns)" in read["shop", "bob"][0]


def runners() -> list[str]:
    """Return the runners of the page on agents."""
    return [program for program in programs("agents.md", "python") if "async def run(" in program]


RUNS: list[tuple[list[Any], list[Any], str]] = [
    ([], [None], "You said: hello"),
    ([["Good ", "day"]], [None], "Good day"),
    ([["a plan. "], ["an answer"]], [None], "a plan. an answer"),
    ([], [{"size": 21}, None], "I have to know your size.That is 42 euros."),
]
"""What the model says, what the user answers to the question of each run, and what is shown."""


@pytest.mark.parametrize("number", range(len(RUNS)))
async def test_the_runners_of_the_page_on_agents_work_as_they_are_printed(
    tmp_path: Path, number: int
) -> None:
    (tmp_path / "shop_flow.py").write_text(runners()[number], encoding="utf-8")
    profile = next(each for each in programs("agents.md", "toml") if "runner" in each)
    code, found = await asyncio.to_thread(checked, tmp_path, profile)
    assert (code, found["problems"], found["runner"]) == (0, [], "shop_flow:run")
    script, turns, shown = RUNS[number]
    said = ""
    memory = EMPTY
    for turn in turns:
        run = Run(
            *script,
            runner=sys.modules["shop_flow"].run,
            memory=memory,
            messages=None if memory is EMPTY else [],
            more_tools=[calculate_tool()],
        )
        await run.run()
        said += run.text
        asked = [event.interrupt_id for event in run.of(InterruptRequested)]
        memory = replace(after(run), answered=tuple(Answered(each, "resolved", turn) for each in asked))
    assert said == shown


def test_all_runners_of_the_page_on_agents_are_run() -> None:
    assert len(runners()) == len(RUNS)


async def test_the_server_of_the_page_on_mcp_has_the_tool_that_its_profile_names(tmp_path: Path) -> None:
    (tmp_path / "orders.py").write_text(programs("mcp.md", "python")[0], encoding="utf-8")

    names = [tool.name for tool in await importlib.import_module("orders").server.list_tools()]

    profile = programs("mcp.md", "toml")[0]
    assert all(f'{name} = "allow"' in profile for name in names)
    assert names


def test_the_profile_of_the_page_on_mcp_can_be_used(tmp_path: Path) -> None:
    code, found = checked(tmp_path, programs("mcp.md", "toml")[0])

    assert (code, found["problems"]) == (0, [])


def test_the_tools_of_the_page_on_configuration_need_nothing_of_agentroute(tmp_path: Path) -> None:
    heading = "### Tools that you have already"
    (tmp_path / "warehouse.py").write_text(
        programs("configuration.md", "python", heading)[0], encoding="utf-8"
    )

    code, found = checked(tmp_path, programs("configuration.md", "toml", heading)[0])

    assert (code, found["problems"]) == (0, [])
    assert {tool["name"]: tool["permission"] for tool in found["tools"]} == {
        "find_order": "allow",
        "pack_order": "allow",
        "send_order": "ask",
    }


def test_the_middleware_and_the_skill_of_the_page_on_agents_can_be_used(tmp_path: Path) -> None:
    heading = "## Middlewares and skills without a factory"
    (tmp_path / "shop_parts.py").write_text(programs("agents.md", "python", heading)[0], encoding="utf-8")
    skill = tmp_path / "skills" / "refunds"
    skill.mkdir(parents=True)
    (skill / "SKILL.md").write_text(programs("agents.md", "markdown", heading)[0], encoding="utf-8")

    code, found = checked(tmp_path, programs("agents.md", "toml", heading)[0])

    assert (code, found["problems"]) == (0, [])
    assert (found["middlewares"], found["skills"]) == (["Manners"], ["refunds"])
