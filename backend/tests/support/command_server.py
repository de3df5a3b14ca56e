"""Runs ``agentroute check`` and the like in milliseconds: a process that has imported everything, and forks.

Each of these commands imports AgentScope, which takes most of its time. A page runs several of them, and all pages
together two dozen. The copies are given the caller's folder, variables and descriptors, so a page sees no difference.

Linux only: it relies on fork.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

COMMANDS = ("check", "import", "init")
"""The commands of ``agentroute`` that are run here; every other one is a process of its own."""
PYTHON = "page-python"
"""The program that runs the Python blocks of a page: JSON lines come in, and go out."""

_MODULES = (
    "agentroute.cli",
    "agentroute.agent_check",
    "agentroute.agents",
    "agentroute.client",
    "agentroute.tools",
    "agentroute.starter.carried_agent",
    "agentroute.starter.init_command",
    "agentscope.agent",
    "agentscope.middleware",
    "agentscope.model",
    "agentscope.tool",
)
_BYTES = 1 << 18

_SHIM = """#!{python} -ISs
import json, os, socket, sys
name = os.path.basename(sys.argv[0])
if name == {page!r} or sys.argv[1:2] and sys.argv[1] in {commands!r}:
    with socket.socket(socket.AF_UNIX) as server:
        server.connect({address!r})
        job = {{"argv": [name, *sys.argv[1:]], "cwd": os.getcwd(), "env": dict(os.environ)}}
        socket.send_fds(server, [json.dumps(job).encode() + b"\\n"], [0, 1, 2])
        sys.exit(int(server.makefile().read() or 70))
os.execv({real!r}, [{real!r}, *sys.argv[1:]])
"""


@contextmanager
def command_server(folder: Path) -> Iterator[Path]:
    """Run the server; yields a folder for ``PATH`` with ``agentroute`` and `PYTHON`."""
    address = folder / "commands.sock"
    programs = folder / "bin"
    programs.mkdir()
    text = _SHIM.format(
        python=sys.executable,
        page=PYTHON,
        commands=COMMANDS,
        address=str(address),
        real=str(Path(sys.executable).with_name("agentroute")),
    )
    for name in ("agentroute", PYTHON):
        (programs / name).write_text(text)
        (programs / name).chmod(stat.S_IRWXU)
    command = [sys.executable, "-P", __file__, str(address)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield programs
        finally:
            process.kill()


def main() -> NoReturn:
    """Fork for whoever connects, until killed."""
    for name in _MODULES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(sys.argv[1])
        server.listen()
        print("ready", flush=True)
        while True:
            connection, _ = server.accept()
            if os.fork() == 0:
                server.close()
                _serve(connection)
            connection.close()


def _serve(connection: socket.socket) -> NoReturn:
    code = 70
    try:
        data, descriptors, _, _ = socket.recv_fds(connection, _BYTES, 3)
        while not data.endswith(b"\n"):
            data += connection.recv(_BYTES)
        job = json.loads(data)
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.chdir(job["cwd"])
        os.environ.clear()
        os.environ.update(job["env"])
        sys.path[:0] = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
        code = _run(job["argv"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(str(code).encode())
        os._exit(code)


def _run(argv: list[str]) -> int:
    """Run a command; returns its exit code."""
    sys.argv = argv
    if argv[0] == PYTHON:
        _run_blocks()
        return 0
    try:
        importlib.import_module("agentroute.cli").app(prog_name="agentroute")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _run_blocks() -> None:
    """Execute blocks in one namespace; each line in is answered by the traceback, or by an empty text."""
    import traceback
    import types

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    page = sys.modules["page"] = types.ModuleType("page")
    sys.path.insert(0, "")
    for line in sys.stdin:
        job = json.loads(line)
        os.chdir(job["cwd"])
        try:
            exec(compile(job["code"], job["name"], "exec"), page.__dict__)  # noqa: S102
            failure = ""
        except BaseException:  # noqa: BLE001  whatever a block raises is its failure
            failure = traceback.format_exc()
        print(json.dumps(failure), file=answers, flush=True)


if __name__ == "__main__":
    main()
