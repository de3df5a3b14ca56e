"""How long a start takes: ``script/run`` until it says ready and until a first run's first event, and two short commands.

    uv run --project backend python bench/start.py --rounds 5

Warm is a start on data that exists. Cold is a fresh copy of the repository's HEAD in an empty folder: environment,
packages from uv's cache, bytecode, a new database. Every start is stopped again before the next one.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

import psutil

_ROOT = Path(__file__).resolve().parents[1]
_RUN = json.dumps({"messages": [{"id": "m-1", "role": "user", "content": "hello"}]})
_HEADERS = {"Content-Type": "application/json", "Accept": "text/event-stream"}
Figures = dict[str, float]


def start_service(root: Path, data_dir: Path) -> Figures:
    """Start everything, ask one question, stop everything; seconds since the command, and CPU seconds until ready."""
    began = time.monotonic()
    with subprocess.Popen(
        [str(root / "script/run"), "--port", "0", "--data-dir", str(data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=root,
        env=_own_environment(),
    ) as process:
        try:
            url = _ready_url(process.stdout or [])
            figures = {"ready": time.monotonic() - began, "CPU until ready": _cpu_seconds(process.pid)}
            _wait_for_first_event(url)
            figures["first event of a first run"] = time.monotonic() - began
        finally:
            process.send_signal(signal.SIGTERM)
            if process.stdout:
                process.stdout.read()
    return figures


def run_command(*arguments: str) -> Figures:
    """Run a short command of ours to its end."""
    began, before = time.monotonic(), os.times()
    subprocess.run(
        [sys.executable, "-P", "-m", "agentroute.cli", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=_own_environment(),
        check=False,
    )
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"end": time.monotonic() - began, "CPU": cpu}


def start_cold(commit: str) -> Figures:
    """Start from a fresh copy of a commit: nothing is installed, packages come from uv's cache."""
    with tempfile.TemporaryDirectory(prefix="start-") as folder:
        root = Path(folder) / "checkout"
        root.mkdir()
        archive = subprocess.run(
            ["git", "-C", str(_ROOT), "archive", commit],  # noqa: S607  the user's own git
            stdout=subprocess.PIPE,
            check=True,
        )
        subprocess.run(["tar", "-x", "-C", str(root)], input=archive.stdout, check=True)  # noqa: S607  likewise
        return start_service(root, Path(folder) / "data")


def _own_environment() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("AGENT_", "VIRTUAL_ENV"))
    }


def _ready_url(lines: Iterable[str]) -> str:
    said: list[str] = []
    for line in lines:
        said.append(line)
        if line.startswith("AgentRoute is ready: "):
            return line.split()[3]
    raise RuntimeError(f"it did not start:\n{''.join(said)}")


def _wait_for_first_event(url: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    connection.request("POST", "/api/v1/agent/runs", _RUN, _HEADERS)
    answer = connection.getresponse()
    while b"RUN_STARTED" not in (line := answer.readline()):
        if not line:
            raise RuntimeError(f"no event; status {answer.status}")
    connection.close()


def _cpu_seconds(pid: int) -> float:
    parent = psutil.Process(pid)
    total = 0.0
    for process in [parent, *parent.children(recursive=True)]:
        spent = process.cpu_times()
        total += spent.user + spent.system + spent.children_user + spent.children_system
    return total


def _report(name: str, rounds: int, measure: Callable[[], Figures]) -> None:
    found = [measure() for _ in range(rounds)]
    for figure in found[0]:
        values = [each[figure] for each in found]
        shown = f"{statistics.median(values):6.2f} s  (from {min(values):.2f} to {max(values):.2f})"
        print(f"{name:10} {figure:28} {shown}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=["warm", "cold", "help", "doctor"])
    parser.add_argument("--commit", default="HEAD", help="What a cold start starts.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="start-") as folder:
        data_dir = Path(folder) / "data"
        measures: dict[str, Callable[[], Figures]] = {
            "warm": lambda: start_service(_ROOT, data_dir),
            "cold": lambda: start_cold(options.commit),
            "help": lambda: run_command("--help"),
            "doctor": lambda: run_command("doctor"),
        }
        for name in options.only or measures:
            if name == "warm":
                start_service(_ROOT, data_dir)  # makes the data
            _report(name, options.rounds, measures[name])


if __name__ == "__main__":
    main()
