"""The whole service from nothing, as a user starts it: ready, crashes, ends, and what each leaves behind."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from tests.support.limits import HUNG_SECONDS, NEVER_SECONDS

pytestmark = pytest.mark.slow


class Instance:
    """``agentroute embedded`` in a process of its own."""

    def __init__(self, data_dir: Path, env: Mapping[str, str]) -> None:
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "agentroute.cli", "embedded", "--port", "0", "--data-dir", str(data_dir)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **env},
            cwd=data_dir.parent,
        )

    def read_until(self, text: str) -> str:
        """Read what it prints up to a line that holds a text."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip())
            if text in line:
                return self.lines[-1]
        raise AssertionError(f"it ended without {text!r}:\n" + "\n".join(self.lines))

    def read_url(self) -> str:
        return self.read_until("AgentRoute is ready: ").split()[3]

    def processes(self) -> dict[str, psutil.Process]:
        """Its children by what they run."""
        marks = {
            "Postgres": "bin/postgres",
            "Valkey": "valkey-server ",
            "Model": "agentroute.demo.model",
            "Worker": "agentroute.cli worker",
            "API": "agentroute.cli serve",
        }
        children = {
            " ".join(child.cmdline()): child for child in psutil.Process(self._process.pid).children()
        }
        return {
            title: child for title, mark in marks.items() for line, child in children.items() if mark in line
        }

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self._process.pid).children(recursive=True)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        """Read to the end and return the exit code."""
        assert self._process.stdout is not None
        self.lines += self._process.stdout.read().splitlines()
        return self._process.wait(HUNG_SECONDS)

    def close(self) -> None:
        self._process.kill()
        with self._process:
            pass


Start = Callable[..., Instance]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start an instance on the test's data directory, with more variables if need be."""
    instances: list[Instance] = []

    def make(**env: str) -> Instance:
        instances.append(Instance(tmp_path / "data", env))
        return instances[-1]

    yield make
    for instance in instances:
        instance.close()


def _alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that run; a zombie does not, its new parent is only late to notice."""
    alive: list[psutil.Process] = []
    for process in processes:
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                alive.append(process)
        except psutil.NoSuchProcess:
            continue
    return alive


def _chat(url: str, thread_id: str) -> str:
    """Run one message on a thread and return its event stream."""
    body = {"threadId": thread_id, "messages": [{"id": f"m-{thread_id}", "role": "user", "content": "hello"}]}
    answer = httpx.post(
        f"{url}/api/v1/agent/runs", json=body, headers={"Accept": "text/event-stream"}, timeout=HUNG_SECONDS
    )
    return answer.raise_for_status().text


@contextmanager
def _speaking(url: str, thread_id: str) -> Iterator[Iterator[str]]:
    """Start a run that speaks for a while; yields the rest of its stream once it speaks."""
    message = {"id": "m-1", "role": "user", "content": "slowly"}
    body = {"threadId": thread_id, "runId": thread_id, "messages": [message]}
    with httpx.stream(
        "POST",
        f"{url}/api/v1/agent/runs",
        json=body,
        headers={"Accept": "text/event-stream"},
        timeout=HUNG_SECONDS,
    ) as answer:
        lines = answer.iter_lines()
        assert any("TEXT_MESSAGE_CONTENT" in line for line in lines)
        yield lines


def _history(url: str, thread_id: str) -> str:
    answer = httpx.get(f"{url}/api/v1/agent/history", params={"threadId": thread_id}, timeout=HUNG_SECONDS)
    return answer.raise_for_status().text


# No lease ends while a test runs.
_NO_LEASE_ENDS = {
    "AGENT_WORKER__LEASE_SECONDS": str(NEVER_SECONDS),
    "AGENT_LIMITS__RUN_SECONDS": str(NEVER_SECONDS),
}


_OF_USERS = """
name = "Support"
description = "Helps."

[[mcp]]
name = "github"
url = "http://127.0.0.1:9/mcp"
auth = "user-token"
"""


def test_from_nothing_to_an_answer_and_back(start: Start, tmp_path: Path) -> None:
    instance = start(**_NO_LEASE_ENDS)
    url = instance.read_url()
    assert set(instance.processes()) == {"Postgres", "Valkey", "Model", "Worker", "API"}
    assert f"Logs: {tmp_path / 'data' / 'logs'}" in instance.lines
    first_steps = shlex.split(instance.read_until("Try it: ").removeprefix("Try it: "))
    assert "RUN_FINISHED" in subprocess.run(first_steps, capture_output=True, text=True, check=True).stdout
    assert "RUN_FINISHED" in _chat(url, "t1")

    other = start()
    assert other.wait() == 1
    assert other.lines == [
        f"error: AgentRoute already runs on {tmp_path / 'data'}: {url} (process {instance._process.pid}). "
        + "Stop it, or choose another --data-dir"
    ]

    worker = instance.processes()["Worker"]
    with _speaking(url, "t-killed") as rest:
        worker.kill()
        # The lease is long: only the parent of the worker can have told.
        assert any('"code":"worker-lost"' in line for line in rest)
    assert instance.read_until("Worker stopped").startswith("Worker stopped; starting it again in 0.5 s")
    assert "RUN_FINISHED" in _chat(url, "t2")
    assert instance.processes()["Worker"].pid != worker.pid

    family = instance.family()
    instance.send(signal.SIGTERM)
    assert instance.wait() == 0
    assert [line for line in instance.lines if line.startswith("Stop")] == [
        *(f"Stopping {title} ..." for title in ("API", "Worker", "Model", "Valkey", "Postgres")),
        "Stopped.",
    ]
    assert not _alive(family)
    assert (tmp_path / "data" / ".gitignore").read_text() == "*\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the parent-death signal")
def test_killed_it_leaves_no_process_and_all_data(start: Start, tmp_path: Path) -> None:
    profile = tmp_path / "agent.toml"
    profile.write_text(_OF_USERS)
    first = start(**_NO_LEASE_ENDS, AGENT_PROFILE_PATH=str(profile))
    url = first.read_url()
    token = httpx.put(f"{url}/api/v1/agent/connections/github", json={"token": "token"})
    assert token.json()["state"] == "connected"
    assert "RUN_FINISHED" in _chat(url, "t1")
    family = first.family()
    assert len(family) >= 5

    with _speaking(url, "t-killed"):
        first.send(signal.SIGKILL)
    # At once, while the old servers are still going down.
    second = start(AGENT_PROFILE_PATH=str(profile))

    url = second.read_url()
    assert not _alive(family)
    assert '"hello"' in _history(url, "t1")
    # The key is of this instance, nobody has set one.
    (known,) = httpx.get(f"{url}/api/v1/agent/connections").json()["connections"]
    assert known == token.json()
    # The run that was under way is ended by who knows that its worker is gone, not by its lease.
    events = {"threadId": "t-killed", "runId": "t-killed"}
    answer = httpx.get(f"{url}/api/v1/agent/events", params=events, timeout=HUNG_SECONDS)
    assert '"code":"worker-lost"' in answer.raise_for_status().text
    second.send(signal.SIGINT)
    assert second.wait() == 0


def test_urls_of_the_environment_replace_the_parts(start: Start, database_url: str, redis_url: str) -> None:
    instance = start(
        AGENT_DATABASE__URL=database_url, AGENT_REDIS__URL=redis_url, AGENT_REDIS__KEY_PREFIX="embedded-test"
    )
    url = instance.read_url()

    assert set(instance.processes()) == {"Model", "Worker", "API"}
    assert "RUN_FINISHED" in _chat(url, "t1")
    instance.send(signal.SIGTERM)
    assert instance.wait() == 0


def test_a_part_that_cannot_start_is_named_with_its_last_words(start: Start) -> None:
    instance = start(AGENT_IDENTITY__MODE="jwt")  # and no secret: the API refuses

    assert instance.wait() == 1
    errors = [line for line in instance.lines if line.startswith("error: ")]
    assert len(errors) == 1
    assert errors[0] == "error: API stopped while starting. The end of its log:"
    assert "AGENT_IDENTITY__JWT_SECRET" in instance.lines[-1]


def test_a_store_of_the_users_that_does_not_answer_is_named(start: Start) -> None:
    instance = start(AGENT_DATABASE__URL="postgresql://user:hush@127.0.0.1:1/name")

    assert instance.wait() == 1
    assert instance.lines[-1] == (
        "error: Postgres: 127.0.0.1:1 does not answer. Start Postgres, or correct AGENT_DATABASE__URL."
    )


def test_a_stop_while_it_starts_stops_what_was_started(start: Start, tmp_path: Path) -> None:
    instance = start()
    instance.read_until("Starting Postgres, Valkey, the API and a worker")
    deadline = time.monotonic() + HUNG_SECONDS
    while not (tmp_path / "data" / "logs" / "api.pid").exists():  # the last one that is started
        assert time.monotonic() < deadline, instance.lines
        time.sleep(0.01)
    family = instance.family()

    instance.send(signal.SIGINT)

    assert instance.wait() == 0
    assert instance.lines[-1] == "Stopped."
    assert not _alive(family)
