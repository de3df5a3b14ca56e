"""What each process imports at its start: each module that it does not use is time that somebody waits."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# Each command ends by itself: where there is no server, after the imports. The second is what it must not import.
STARTS = {
    "help": ("--help", {"asyncpg", "cryptography", "httpx", "pydantic", "redis", "structlog"}),
    "embedded": (
        "embedded --data-dir /dev/null/none",
        {"asyncpg", "cryptography", "httpx", "jsonschema", "redis", "rich.console", "structlog"},
    ),
    "serve": ("serve", {"agentscope", "jwt", "opentelemetry.sdk", "pygments.lexers", "rich.console"}),
    "worker": (
        "worker",
        {
            "fastapi",
            "jwt",
            "numpy",
            "openai",
            "opentelemetry.sdk",
            "pygments.lexers",
            "requests",
            "rich.console",
        },
    ),
    "doctor": ("doctor", {"fastapi", "jwt", "sqlalchemy.dialects.mysql", "taskiq"}),
}
OF_NOBODY = {"alembic", "anthropic", "faster_whisper", "mako"}
OF_NO_PARENT = {"agentscope", "fastapi", "mcp", "openai", "sqlalchemy", "taskiq"}

PROGRAM = """
import atexit, sys
atexit.register(lambda: print(*(name for name, module in sys.modules.items() if module), file=sys.__stdout__))
from agentroute.cli import app
app()
"""


@pytest.mark.parametrize("process", STARTS)
def test_a_start_imports_nothing_that_the_process_does_not_use(process: str) -> None:
    arguments, unused = STARTS[process]
    if process in {"help", "embedded"}:
        unused = unused | OF_NO_PARENT

    assert sorted(imported(*arguments.split()) & (unused | OF_NOBODY)) == []


def test_the_models_of_logins_are_built_when_a_login_needs_them() -> None:
    program = """
from core.connections.oauth import grants, metadata, registration
from pydantic import BaseModel
models = {each for module in (grants, metadata, registration) for each in vars(module).values()
          if isinstance(each, type) and issubclass(each, BaseModel) and each is not BaseModel}
print(len(models), sum(model.__pydantic_complete__ for model in models))
"""
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    models, built = map(int, done.stdout.split())
    assert models > 0
    assert built == 0


def imported(*arguments: str) -> set[str]:
    """Run a command and return the modules that it has imported at its end."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, *arguments],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("AGENT_")},
            "AGENT_DATABASE__URL": "postgresql://127.0.0.1:1/none",
            "AGENT_REDIS__URL": "redis://127.0.0.1:1/0",
            "AGENT_IDENTITY__MODE": "local",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    found = set(done.stdout.splitlines()[-1].split())
    assert "agentroute.cli" in found
    return found
