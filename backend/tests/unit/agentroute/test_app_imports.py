"""The API process stays light: AgentScope costs seconds of CPU and over a hundred MB at import."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.support.limits import HUNG_SECONDS


@pytest.mark.parametrize("module", ["agentroute.app", "agentroute.server", "v1.agent.router"])
def test_importing_the_api_does_not_import_agentscope(module: str) -> None:
    program = f"import sys, {module}; print('agentscope' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=HUNG_SECONDS, check=True
    )

    assert done.stdout.strip() == "False"
