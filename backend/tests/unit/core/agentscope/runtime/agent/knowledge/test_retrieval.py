"""A search function stops the start with one line if it cannot be called, and shares what its module opened."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.support.stage_run import Run

from core.agentscope.runtime.agent.factory.opening import FactoryOpener, open_for_runs
from core.agentscope.runtime.agent.factory.user_factory import AgentCodeInvalid

CODE = """
from agentroute.agents import AgentRun, Passage, lifespan

@lifespan
async def index():
    yield {"returns": "30 days"}

async def search(query: str, run: AgentRun) -> list[Passage]:
    return [Passage(text=run.resources[query])]

def plain(query, run=None): ...
def one(query): ...
def more(query, run, k): ...
def pieces(query, run): yield 1
async def later(query, run): yield 1
class Kind: ...
number = 7
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "know_kb.py").write_text(CODE, encoding="utf-8")
    (tmp_path / "know_broken.py").write_text("1 / 0", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in ("know_kb", "know_broken"):
        sys.modules.pop(name, None)


async def opened(reference: str) -> Run:
    run = Run(search=lambda query, run: [], knowledge={"retrieve": reference})
    async with AsyncExitStack() as stack:
        run.kit = await open_for_runs(run.kit, FactoryOpener(stack))
    return run


@pytest.mark.parametrize("name", ["search", "plain"])
async def test_a_search_function_is_opened_with_its_resources(name: str) -> None:
    retrieval = (await opened(f"know_kb:{name}")).kit.retrieval

    assert retrieval is not None
    assert retrieval.resources == {"returns": "30 days"}


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("know_missing:search", "no module is named know_missing"),
        ("know_kb:find", "know_kb has no find"),
        ("know_kb", "not of the form package.module:attribute"),
        ("know_broken:search", "ZeroDivisionError"),
        ("know_kb:number", "not a function"),
        ("know_kb:Kind", "not a function"),
        ("know_kb:one", "cannot be called with a query and a run"),
        ("know_kb:more", "cannot be called with a query and a run"),
        ("know_kb:pieces", "return a list of all passages"),
        ("know_kb:later", "return a list of all passages"),
    ],
)
async def test_a_search_function_that_cannot_be_called_stops_the_start(reference: str, problem: str) -> None:
    with pytest.raises(AgentCodeInvalid) as refused:
        await opened(reference)

    line = str(refused.value)
    assert line.startswith(f"knowledge.retrieve: {reference}" if ":" in reference else "knowledge.retrieve: ")
    assert problem in line
    assert "\n" not in line
