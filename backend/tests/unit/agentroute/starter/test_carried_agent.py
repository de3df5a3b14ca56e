"""``agentroute import``: an agent of a script is behind the service by two files, and no line of it changes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentroute.project import find_project
from agentroute.starter.carried_agent import run_import
from core.errors import ConfigurationError

SCRIPT = '''
from agentscope.agent import Agent
from agentscope.credential import OpenAICredential
from agentscope.model import OpenAIChatModel
from agentscope.permission import PermissionContext, PermissionMode
from agentscope.state import AgentState
from agentscope.tool import FunctionTool, Toolkit

def look(): """Look."""

def make(name='the "shop"', **more):
    model = OpenAIChatModel(OpenAICredential(api_key="k", base_url="https://api.shop.example/v1"), "theirs")
    return Agent(name, "Sell.", model, toolkit=Toolkit(tools=[FunctionTool(look)]), **more)

agent = make()
async def later(): return make()
def of_run(run): return make()
def two(run, other): return make()
bypass = make(state=AgentState(permission_context=PermissionContext(mode=PermissionMode.BYPASS)))
number = 3
'''
GIVEN = {
    "an agent": ("my_shop.py:agent", "return my_shop.agent\n"),
    "a function": ("my_shop.py:make", "return my_shop.make()\n"),
    "an async function of a package": ("pack/my_shop.py:later", "return await pack.my_shop.later()\n"),
    "a factory": ("my_shop:of_run", None),
}
REFUSED = {
    "my_shop.py": "'my_shop.py' is not of the form my_agent.py:agent",
    "nowhere.py:agent": "nowhere.py: there is no such file",
    "nowhere:agent": "no module is named nowhere",
    "my-shop.py:agent": "my-shop is no name of a module",
    "my_shop.py:nothing": "my_shop has no nothing",
    "my_shop.py:number": "my_shop:number is a int: name an agentscope.agent.Agent",
    "my_shop.py:Agent": "my_shop:Agent is a class",
    "my_shop.py:two": "my_shop:two needs run, other",
    "taken/my_shop.py:agent": "agent.toml exists already, and nothing is overwritten",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("my_shop.py", "my-shop.py", "pack/my_shop.py", "taken/my_shop.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "pack" / "__init__.py").touch()
    (tmp_path / "taken" / "agent.toml").write_text("mine", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _import(given: str) -> subprocess.CompletedProcess[str]:
    # In a process of its own: it imports the user's module.
    return subprocess.run(
        [sys.executable, "-P", "-m", "agentroute.cli", "import", given],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("given", "code"), GIVEN.values(), ids=GIVEN)
def test_what_is_written_makes_the_agent_unchanged(folder: Path, given: str, code: str | None) -> None:
    done = _import(given)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "look" in done.stdout
    assert "ok: runs can use this agent" in done.stdout
    assert find_project(folder).profile == folder.resolve() / "agent.toml"
    factory = folder / "agent_factory.py"
    assert factory.exists() is (code is not None)
    if code is not None:
        assert factory.read_text(encoding="utf-8").endswith(
            f'    """Make the agent of one run."""\n    {code}'
        )
        subprocess.run([sys.executable, "-m", "ruff", "check", "--isolated", "agent_factory.py"], check=True)
    assert (folder / "my_shop.py").read_text(encoding="utf-8") == SCRIPT


def test_what_cannot_be_kept_is_listed_and_is_the_exit_code(folder: Path) -> None:
    done = _import("my_shop.py:bypass")

    assert done.returncode == 1
    assert "problem: The permission mode bypass lets every tool act without asking" in done.stdout


@pytest.mark.parametrize(("given", "words"), REFUSED.items())
def test_what_is_no_agent_is_refused_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, given: str, words: str
) -> None:
    before = sorted(folder.rglob("*.toml"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(os, "environ", dict(os.environ))

    try:
        with pytest.raises(ConfigurationError) as refused:
            run_import(given, print)
    finally:
        sys.modules.pop("my_shop", None)

    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert sorted(folder.rglob("*.toml")) == before
    assert not list(folder.rglob("agent_factory.py"))
