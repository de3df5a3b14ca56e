"""Starts API processes and workers in milliseconds: a process that has imported everything and forks.

A worker needs seconds to import AgentScope, which would be most of a test that
kills one. Commands come as JSON lines on standard input; what was started and
how it ended goes to standard output. Children die with this process.

Linux only: it relies on fork and on the parent-death signal.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import selectors
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import orjson

_PR_SET_PDEATHSIG = 1
_MODULES = (
    "agentroute.worker",
    "agentroute.server",
    "agentroute.container",
    "tests.faults.effects",
    "tests.faults.own_agent",
    "tests.faults.mutants",
    "tests.faults.pace",
    # What these import only when they are used for the first time.
    "anyio._backends._asyncio",
    "anyio.streams.tls",
    "httpcore",
    "json_repair",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
)


def main() -> NoReturn:
    """Fork what standard input asks for, until it is closed."""
    _import_everything()
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    _say({"ready": True})
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    selector.register(wake_read, selectors.EVENT_READ)
    rest = b""
    while True:
        for key, _ in selector.select():
            if key.fd == wake_read:
                os.read(wake_read, 4096)
                continue
            data = os.read(0, 1 << 16)
            if not data:
                # Nothing of what the imports registered for the end is wanted.
                os._exit(0)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                command: dict[str, Any] = orjson.loads(line)
                _say({"name": command["name"], "pid": _fork(command)})
        _reap()


def _import_everything() -> None:
    for name in _MODULES:
        importlib.import_module(name)
    _list_tools()
    gc.collect()
    gc.freeze()


def _list_tools() -> None:
    """Ask a child process for the tools of the agents, which an API process does at its start and keeps."""
    from agentroute.agent_items import list_agents
    from core.agentscope.runtime.profile.agents import load_agents
    from core.config import Settings

    list_agents(load_agents(Path(__file__).with_name("agents")), Settings())


def _fork(command: dict[str, Any]) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        _become(command, parent)
    finally:
        os._exit(70)


def _become(command: dict[str, Any], parent: int) -> NoReturn:
    """Turn the forked copy into the process that was asked for."""
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(70)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(command["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.closerange(3, 256)
    for name in [name for name in os.environ if name.startswith("AGENT_")]:
        del os.environ[name]
    os.environ.update(command["env"])
    # It read the variable when this process imported it.
    importlib.reload(importlib.import_module("core.crash_points"))
    from tests.faults.mutants import apply_mutant
    from tests.faults.pace import set_pace

    from core.config import Settings

    set_pace()
    if command["mutant"]:
        apply_mutant(command["mutant"])
    settings = Settings()
    if command["role"] == "worker":
        from agentroute.worker import run_worker

        code = run_worker(settings)
    else:
        from agentroute.server import run_server

        code = run_server(settings)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _reap() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _say({"pid": pid, "exit": os.waitstatus_to_exitcode(status)})


def _say(line: dict[str, Any]) -> None:
    os.write(1, orjson.dumps(line) + b"\n")


if __name__ == "__main__":
    main()
