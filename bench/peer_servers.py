"""The services that the published benchmark compares: each installed from its lock file, in an environment of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cpu
from peer_runs import AgentScopeSetup, AguiRun, LangGraphRun, NewRun, our_run
from sse_client import Target
from stack import StackOptions, free_port, running_model, running_part, running_stack, wait_for

from agentroute.embedded.local_valkey import LocalValkey

PEERS = Path(__file__).parent / "peers"
SERVER = "server"
PROCESSES = 2
"""Of a service that keeps nothing in the process: one a core, as uvicorn's documentation recommends."""


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service that answers."""

    target: Target
    roots: Mapping[int, str | None]
    """Process trees for ``cpu.read``."""
    new_run: NewRun


@dataclass(frozen=True, slots=True)
class Peer:
    """How one service is started."""

    name: str
    directory: str
    """Below ``bench/peers``; holds ``app.py`` and ``requirements.lock``."""
    arguments: tuple[str, ...]
    """After the Python of its environment; ``{port}`` is replaced."""
    ready: str
    """A path that is answered with 200 when the service is up."""
    keeps: str
    """What of a run is left when the process dies; shown in the table."""
    resumes: str
    """What a client that lost its connection can do; shown in the table."""
    new_run: NewRun | None = AguiRun.of
    """How a run is started and read; None if the service first has to be told of an agent."""
    needs_redis: bool = False
    environment: Mapping[str, str] = field(default_factory=dict[str, str])


_UVICORN = ("-m", "uvicorn", "app:app", "--host", "127.0.0.1", "--port", "{port}", "--log-level", "warning")
AGENT_ROUTE = "AgentRoute"
OURS_KEEPS, OURS_RESUMES = "everything, in Postgres", "goes on after the last event, exactly"

ALL = (
    Peer(
        name="Agno 3.1 (AG-UI)",
        directory="agno",
        arguments=(*_UVICORN, "--workers", str(PROCESSES), "--no-access-log"),
        ready="/health",
        keeps="nothing",
        resumes="nothing",
    ),
    Peer(
        name="Pydantic AI 2.68 (AG-UI)",
        directory="pydantic_ai",
        arguments=(*_UVICORN, "--workers", str(PROCESSES), "--no-access-log"),
        ready="/healthz",
        keeps="nothing",
        resumes="nothing",
    ),
    Peer(
        name="LangGraph dev server",
        directory="langgraph",
        # One job at a time a thread; the default of one job a worker would measure a queue.
        arguments=(
            "-m",
            "langgraph_cli",
            "dev",
            "--port",
            "{port}",
            "--no-browser",
            "--no-reload",
            "--n-jobs-per-worker",
            "200",
        ),
        ready="/ok",
        keeps="the state, in memory of the process",
        resumes="joins the stream; earlier events only with `stream_resumable`",
        new_run=LangGraphRun.of,
        environment={"LANGGRAPH_NO_VERSION_CHECK": "1", "LOG_LEVEL": "WARNING", "LANGSMITH_TRACING": "false"},
    ),
    Peer(
        name="AgentScope 2.0 service",
        directory="agentscope",
        # One process: which run goes on is known to the process that started it.
        arguments=(*_UVICORN, "--no-access-log"),
        ready="/openapi.json",
        keeps="messages, in Redis; a run that was cut off is lost",
        resumes="reads the events of the newest run again",
        new_run=None,
        needs_redis=True,
    ),
)


def install(peer: Peer) -> Path:
    """Bring the environment of a peer up to its lock file; return its Python.

    Raises:
        RuntimeError: No uv, or an installation that failed.
    """
    uv = os.environ.get("UV") or shutil.which("uv")
    if not uv:
        raise RuntimeError("uv is not on PATH: start this with `uv run --project backend python ...`")
    home = PEERS / peer.directory
    python = home / ".venv" / "bin" / "python"
    if not python.exists():
        _run(uv, "venv", "--quiet", "--python", sys.base_prefix + "/bin/python3", str(home / ".venv"))
    lock = str(home / "requirements.lock")
    _run(
        uv, "pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode", "--python", str(python), lock
    )
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stderr[-2000:]}")


@contextlib.contextmanager
def running_peer(peer: Peer, directory: Path) -> Generator[RunningService]:
    """Start the bench model and the peer, and stop both again; logs go to the directory.

    Raises:
        RuntimeError: A part did not start; the text ends with its log.
    """
    python = install(peer)
    with contextlib.ExitStack() as parts:
        model = parts.enter_context(running_model(directory))
        model_url = f"{model.base_url}/v1"
        environment = {"MODEL_BASE_URL": model_url, "HOME": str(directory), **peer.environment}
        roots: dict[int, str | None] = {model.pid: cpu.MODEL}
        if peer.needs_redis:
            # The embedded mode's own server, so that both services pay the same for it.
            redis = parts.enter_context(LocalValkey(directory / "redis", port=free_port()))
            environment["REDIS_URL"] = redis.url
            roots[int(redis.pid_path.read_text())] = cpu.REDIS
        port = free_port()
        arguments = [part.replace("{port}", str(port)) for part in peer.arguments]
        # A copy: a service may write next to its code.
        home = directory / "app"
        shutil.copytree(PEERS / peer.directory, home, ignore=shutil.ignore_patterns(".venv"))
        server = parts.enter_context(
            running_part(peer.directory, directory, [str(python), *arguments], environment, home)
        )
        target = Target.of(f"http://127.0.0.1:{port}")
        wait_for(f"http://127.0.0.1:{port}{peer.ready}", server, directory / f"{peer.directory}.log")
        roots[server.pid] = SERVER
        if peer.new_run is None:
            target = Target(target.host, target.port, (AgentScopeSetup.HEADER,))
            setup = asyncio.run(AgentScopeSetup.create(target, model_url))
            yield RunningService(target, roots, setup.new_run)
        else:
            yield RunningService(target, roots, peer.new_run)


@contextlib.contextmanager
def running_ours(directory: Path) -> Generator[RunningService]:
    """Start AgentRoute's embedded mode with the bench model, and stop both again."""
    with running_stack(StackOptions(keep=directory)) as stack:
        yield RunningService(Target.of(stack.base_url), stack.roots, our_run)
