"""The API process stays light: AgentScope costs seconds of CPU and over a hundred MB at import."""

from __future__ import annotations

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
