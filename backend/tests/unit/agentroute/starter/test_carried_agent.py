"""``agentroute import``: an agent of a script is behind the service by two files, and no line of it changes."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from agentroute.project import find_project
from agentroute.starter.carried_agent import _profile, run_import
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
def annotated(r: "agents.AgentRun"): return make()
def named(size): return make(size)
def by_keyword(*, run): return make()
def fails(): raise ValueError("no key is set")
builtin = dict.fromkeys
def create_agent(): return make()
bypass = make(state=AgentState(permission_context=PermissionContext(mode=PermissionMode.BYPASS)))
number = 3
'''
GIVEN = {
    "an agent": ("my_shop.py:agent", "return _theirs\n"),
    "a function": ("my_shop.py:make", "return _theirs()\n"),
    "an async function of a package": ("pack/my_shop.py:later", "return await _theirs()\n"),
    "a factory": ("my_shop:of_run", None),
    "a factory by its annotation": ("my_shop:annotated", None),
    "a file with a name of the factory's parameter": ("run.py:agent", "return _theirs\n"),
    "a file with the name of the factory": ("create_agent.py:create_agent", "return _theirs()\n"),
    "a file with the name of the factory's file": ("own/agent_factory.py:agent", "return _theirs\n"),
    "a file that reads another one beside it": ("own/reads.py:agent", "return _theirs\n"),
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
    "my_shop.py:named": "my_shop:named needs size: name a function that needs nothing, or one positional parameter",
    "my_shop.py:by_keyword": "my_shop:by_keyword needs run",
    "my_shop.py:builtin": "my_shop:builtin",
    "core.py:agent": "core.py cannot be imported: core is the name of a package of AgentRoute",
    "models.shop:agent": "models.shop cannot be imported: models is the name of a package",
    "__main__.py:agent": "__main__.py cannot be imported: the name __main__ means",
    "taken/my_shop.py:agent": "agent.toml exists already, and nothing is overwritten",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        *(
            "my_shop.py",
            "my-shop.py",
            "pack/my_shop.py",
            "taken/my_shop.py",
            "run.py",
            "create_agent.py",
            "core.py",
        ),
        *("own/agent_factory.py", "own/reads.py", "__main__.py"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "own" / "reads.py").write_text(f'open("prompt.md")\n{SCRIPT}', encoding="utf-8")
    (tmp_path / "own" / "prompt.md").touch()
    (tmp_path / "pack" / "__init__.py").touch()
    (tmp_path / "taken" / "agent.toml").write_text("mine", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _import(programs: Path, given: str) -> subprocess.CompletedProcess[str]:
    # In a process of its own: it imports the user's module.
    return subprocess.run(
        [programs / "agentroute", "import", given],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("given", "code"), GIVEN.values(), ids=GIVEN)
def test_what_is_written_makes_the_agent_unchanged(
    folder: Path, programs: Path, given: str, code: str | None
) -> None:
    folder = folder / "own" if given.startswith("own/") else folder
    before = _contents(folder)
    done = _import(programs, given)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "look" in done.stdout
    assert "ok: runs can use this agent" in done.stdout
    assert find_project(folder).profile == folder.resolve() / "agent.toml"
    after = _contents(folder)
    factory = (after.keys() - before.keys() - {folder / "agent.toml"}).pop() if code is not None else None
    assert after.keys() == before.keys() | {folder / "agent.toml"} | ({factory} if factory else set())
    assert {path: after[path] for path in before} == before
    if factory is not None:
        assert after[factory].endswith(f'    """Make the agent of one run."""\n    {code}')
        subprocess.run(
            [sys.executable, "-m", "ruff", "check", "--isolated", factory.name], cwd=folder, check=True
        )


def _contents(folder: Path) -> dict[Path, str]:
    return {path: path.read_text(encoding="utf-8") for path in folder.iterdir() if path.is_file()}


def test_an_agent_that_cannot_be_made_leaves_nothing_in_the_way_of_the_next_try(
    folder: Path, programs: Path
) -> None:
    before = _contents(folder)

    done = _import(programs, "my_shop.py:fails")

    assert done.returncode == 1
    assert "no key is set" in done.stdout
    assert done.stdout.endswith("Mend it, then import it again.\n")
    assert _contents(folder) == before


def test_a_setting_that_is_wrong_leaves_nothing_either(folder: Path, programs: Path) -> None:
    (folder / ".env").write_text("AGENT_SERVER__PORT=none\n", encoding="utf-8")
    before = _contents(folder)

    assert _import(programs, "my_shop.py:agent").returncode == 2
    assert _contents(folder) == before


@pytest.mark.parametrize("name", ['a\x7f\n"b\\', "Schuhladen ü 👟", "half \ud83d"])
def test_any_name_of_an_agent_is_written_as_toml(name: str) -> None:
    read = tomllib.loads(_profile(name, "a:b"))

    assert read["name"] == name.replace("\ud83d", "?")
    assert read["agent"] == {"factory": "a:b"}


def test_what_cannot_be_kept_is_listed_and_is_the_exit_code(folder: Path, programs: Path) -> None:
    done = _import(programs, "my_shop.py:bypass")

    assert done.returncode == 1
    assert "problem: The permission mode bypass lets every tool act without asking" in done.stdout


@pytest.mark.parametrize(("given", "words"), REFUSED.items())
def test_what_is_no_agent_is_refused_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, given: str, words: str
) -> None:
    before = sorted(folder.rglob("*.*"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(os, "environ", dict(os.environ))

    try:
        with pytest.raises(ConfigurationError) as refused:
            run_import(given, print, lambda _profile, _unusable: 0)
    finally:
        sys.modules.pop("my_shop", None)

    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert [path for path in sorted(folder.rglob("*.*")) if path.parent.name != "__pycache__"] == before
