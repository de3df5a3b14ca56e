"""A whole service for the benches: the embedded mode on free ports, with the bench model behind it.

    uv run --project backend python bench/stack.py --describe stack.json

runs until Ctrl-C; ``load.py --stack stack.json`` then measures it. Everything
lives in a temporary directory that is removed at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cpu
import orjson

_HERE = Path(__file__).parent
_BACKEND = _HERE.parent / "backend"
_EMBEDDED = ("-m", "agentroute.cli", "embedded")
_START_SECONDS = 60.0
_STOP_SECONDS = 45.0


# The bench is one user with many runs at once: limits that protect a service are lifted.
_ENVIRONMENT = {
    "AGENT_MODEL__API_KEY": "bench",
    "AGENT_MODEL__NAME": "bench",
    "AGENT_MODEL__MAX_CONNECTIONS": "2000",
    "AGENT_WORKER__CONCURRENCY": "1000",
    "AGENT_WORKER__USER_SHARE": "1",
    "AGENT_LIMITS__MAX_RUNS_PER_USER": "100000",
    "AGENT_LIMITS__MAX_QUEUED_RUNS": "100000",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A process that answers at an address."""

    pid: int
    base_url: str


@dataclass(frozen=True, slots=True)
class StackOptions:
    """How the stack is started."""

    arguments: tuple[str, ...] = ()
    """More arguments of the embedded mode."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Settings of the service."""
    keep: Path | None = None
    """Data and logs stay in this directory."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack."""

    base_url: str
    directory: Path
    """Holds the logs, ``totals.json`` of the model and the data."""
    roots: dict[int, str | None]
    """Process trees for ``cpu.read``."""


@contextlib.contextmanager
def running_stack(options: StackOptions) -> Generator[Stack]:
    """Start everything, wait until it answers, and stop it again.

    Raises:
        RuntimeError: A part did not start; the text ends with its log.
    """
    with contextlib.ExitStack() as parts:
        directory = options.keep or Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        directory.mkdir(parents=True, exist_ok=True)
        model = parts.enter_context(running_model(directory))
        port = free_port()
        service = parts.enter_context(
            running_part(
                "service",
                directory,
                [
                    sys.executable,
                    *_EMBEDDED,
                    "--data-dir",
                    str(directory / "data"),
                    "--port",
                    str(port),
                    *options.arguments,
                ],
                {
                    **_ENVIRONMENT,
                    "AGENT_MODEL__BASE_URL": f"{model.base_url}/v1",
                    **options.environment,
                },
            )
        )
        base_url = f"http://127.0.0.1:{port}"
        wait_for(f"{base_url}/healthz", service, directory / "service.log")
        yield Stack(base_url, directory, {service.pid: None, model.pid: cpu.MODEL})


@contextlib.contextmanager
def running_model(directory: Path) -> Generator[Part]:
    """Start the bench model, and stop it again; ``totals.json`` and its log go to the directory.

    Raises:
        RuntimeError: It did not start; the text ends with its log.
    """
    port = free_port()
    command = [sys.executable, str(_HERE / "fake_model.py"), "--port", str(port)]
    with running_part("model", directory, [*command, "--totals", str(directory / "totals.json")]) as process:
        base_url = f"http://127.0.0.1:{port}"
        wait_for(f"{base_url}/healthz", process, directory / "model.log")
        yield Part(process.pid, base_url)


@contextlib.contextmanager
def running_part(
    name: str,
    directory: Path,
    command: list[str],
    environment: Mapping[str, str] | None = None,
    cwd: Path = _BACKEND,
) -> Generator[subprocess.Popen[bytes]]:
    """Start a process whose output goes to ``<directory>/<name>.log``, and stop it again."""
    with (directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl-C in a terminal reaches the bench alone, which then stops the parts in order.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the URL is answered with 200.

    Raises:
        RuntimeError: The process ended, or time is up; the text ends with the log.
    """
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own URL
                if response.status == 200:
                    return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.1)
    tail = log.read_text(errors="replace")[-3000:]
    raise RuntimeError(f"{url} did not answer (exit status {process.poll()}):\n{tail}")


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--describe", type=Path, default=Path("stack.json"), help="where to say what runs")
    parser.add_argument("--keep", type=Path, help="keep data and logs in this directory")
    options, arguments = parser.parse_known_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with running_stack(StackOptions(tuple(arguments), keep=options.keep)) as stack:
        roots = [[label, pid] for pid, label in stack.roots.items()]
        described = {"base_url": stack.base_url, "directory": str(stack.directory), "roots": roots}
        options.describe.write_bytes(orjson.dumps(described, option=orjson.OPT_INDENT_2))
        print(options.describe.read_text(), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
        # The description of a stack that is gone would lead a bench to somebody else's processes.
        options.describe.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
