"""The API process stays light: AgentScope costs seconds of CPU and over a hundred MB at import."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.support.limits import HUNG_SECONDS

BACKEND = Path(__file__).parents[3]
LOADS_AGENTSCOPE = {"agent_check", "agents", "cli", "script_run", "worker"}
"""The worker's entry, the command lines that start it, and what makes a user's agent."""


@pytest.mark.parametrize("module", ["agentroute.app", "agentroute.server", "v1.agent.router"])
def test_importing_the_api_does_not_import_agentscope(module: str) -> None:
    program = f"import sys, {module}; print('agentscope' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=HUNG_SECONDS, check=True
    )

    assert done.stdout.strip() == "False"


def test_listing_the_tools_of_a_user_s_module_does_not_import_it(tmp_path: Path) -> None:
    (tmp_path / "own_scope.py").write_text(
        "from agentscope.tool import FunctionTool\n\ndef look():\n    'Look.'\n\nlook = FunctionTool(look)\n"
    )
    (tmp_path / "agent.toml").write_text(
        'name = "A"\ndescription = "d"\n[[tools]]\nimport = "own_scope:look"\npermission = "ask"\n'
    )
    program = """
import sys
from pathlib import Path
from agentroute.agent_items import list_agents
from core.agentscope.runtime.profile.agents import load_agents
from core.config import Settings

(item,) = list_agents(load_agents(Path(sys.argv[1])), Settings())
print([tool.name for tool in item.tools], {"agentscope", "own_scope"} & set(sys.modules))
"""

    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "agent.toml")],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=HUNG_SECONDS,
        check=True,
    )

    assert done.stdout.strip() == "['look'] set()"


def test_every_module_of_the_composition_root_is_under_the_import_contract_or_named_here() -> None:
    project = tomllib.loads((BACKEND / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (
        contract
        for contract in project["tool"]["importlinter"]["contracts"]
        if contract["name"].startswith("AgentScope is not reachable")
    )
    modules = {
        path.stem
        for path in (BACKEND / "src" / "agentroute").iterdir()
        if not path.name.startswith("__") and (path.is_dir() or path.suffix == ".py")
    }

    held = {name.removeprefix("agentroute.") for name in contract["source_modules"]}
    assert modules - held == LOADS_AGENTSCOPE
