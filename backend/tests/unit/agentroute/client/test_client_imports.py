"""The client needs nothing of the service, and its two halves are one."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import is_dataclass
from pathlib import Path

from tests.support.limits import HUNG_SECONDS

import agentroute.client
from agentroute.client import answers, events

SCRIPT = Path(__file__).parents[5] / "script" / "sync_client.py"
_HEAVY = (
    "agentscope",
    "ag_ui",
    "asyncpg",
    "core",
    "fastapi",
    "models",
    "pydantic",
    "redis",
    "sqlalchemy",
    "starlette",
    "taskiq",
    "v1",
)


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=HUNG_SECONDS, check=False
    )


def test_the_import_loads_nothing_of_the_service() -> None:
    program = f"import sys, agentroute.client; print([name for name in {_HEAVY!r} if name in sys.modules])"
    assert _python("-c", program).stdout.strip() == "[]"


def test_the_client_works_where_the_service_is_not_installed() -> None:
    hidden = f"import sys; sys.modules.update(dict.fromkeys({_HEAVY!r})); import agentroute.client as c; "
    program = hidden + "c.AgentRouteClient(); c.AsyncAgentRouteClient(); print('made')"
    assert _python("-c", program).stdout.strip() == "made"


def test_the_synchronous_client_is_the_asynchronous_one_without_await() -> None:
    done = _python(str(SCRIPT), "--check")
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


def test_every_public_name_is_there() -> None:
    assert sorted(agentroute.client.__all__) == agentroute.client.__all__
    assert all(hasattr(agentroute.client, name) for name in agentroute.client.__all__)
    # What a method returns is read member by member, so each part of it can be named.
    parts = {
        name for module in (answers, events) for name, each in vars(module).items() if is_dataclass(each)
    }
    assert parts - set(agentroute.client.__all__) == {"AgentList", "ConnectionList"}
