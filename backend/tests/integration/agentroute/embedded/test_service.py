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
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.limits import HUNG_SECONDS, NEVER_SECONDS
from tests.support.processes import command_of, is_alive

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
            " ".join(command_of(child)): child for child in psutil.Process(self._process.pid).children()
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
    return list(filter(is_alive, processes))


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


class _Page:
    """The page of this machine, as the routes of the embedded mode know it."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/api/v1/embedded"
        self._headers = {"X-AgentRoute-Page": "1", "Origin": url}

    def ask(self, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
        """Ask until the API answers: it may just be starting again."""
        deadline = time.monotonic() + HUNG_SECONDS
        while True:
            try:
                answer = httpx.request(
                    method, self._url + path, json=body, headers=self._headers, timeout=HUNG_SECONDS
                )
            except httpx.TransportError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            else:
                return answer.raise_for_status().json()

    def kill(self, name: str) -> dict[str, Any]:
        """Kill a process; returns what is said of it when it is back."""
        killed = self.ask("POST", f"/processes/{name}/kill")
        deadline = time.monotonic() + HUNG_SECONDS
        while True:
            each = {each["name"]: each for each in self.ask("GET", "/processes")["processes"]}[name]
            if each["lastKill"] and each["lastKill"]["backAt"]:
                assert each["lastKill"]["pid"] == killed["pid"] != each["pid"]
                assert each["lastKill"]["killedAt"] < each["lastKill"]["backAt"]
                return each
            assert time.monotonic() < deadline, each
            time.sleep(0.05)


def test_the_page_chooses_a_model_and_kills_processes(start: Start, tmp_path: Path) -> None:
    instance = start(**_NO_LEASE_ENDS, AGENT_METRICS__PORT="0")
    metrics = instance.read_until("Metrics of all processes: ").split()[-1]
    url = instance.read_url()
    instance.read_until(f"Open {url}/ in a browser")
    page = _Page(url)
    assert page.ask("GET", "/model")["source"] == "demo"
    assert _shown(metrics) == {"api", "worker"}
    # The bundled demo is an endpoint like any other, under another name.
    command = " ".join(instance.processes()["Model"].cmdline())
    demo = f"http://127.0.0.1:{command.split('--port ')[1].split()[0]}/v1"

    with _speaking(url, "t-live") as rest:
        chosen = page.ask("PUT", "/model", {"baseUrl": demo, "name": "mine", "apiKey": "sk-0123456789"})
        assert (chosen["source"], chosen["name"], chosen["hasKey"]) == ("chosen", "mine", True)
        # The worker before has the run, and the model it began with.
        assert not any("RUN_ERROR" in line for line in rest)
    instance.read_until("Model: mine at ")
    # The API is started again after its answer.
    assert page.ask("GET", "/model")["name"] == "mine"
    _until_ready(url)
    assert '"model":"mine"' in _chat(url, "t-chosen")
    assert '"model":"demo"' in _end_of(url, "t-live")

    assert [page.kill(name)["restarts"] for name in ("redis", "worker", "api")] == [1, 1, 2]
    assert '"model":"mine"' in _chat(url, "t-after")
    # Of the processes that run now: another worker has taken the place of the first one.
    assert _shown(metrics) == {"api", "worker-2"}
    assert 'agentroute_runs_ended_total{code="",process="worker-2",status="succeeded"} 1.0' in _metrics(
        metrics
    )
    model_file = tmp_path / "data" / "model.json"
    assert model_file.stat().st_mode & 0o777 == 0o600
    assert "sk-0123456789" not in model_file.read_text()
    instance.send(signal.SIGTERM)
    assert instance.wait() == 0

    # What is kept is used by the next start, which needs no demo.
    again = start()
    page = _Page(again.read_url())
    assert "Model" not in again.processes()
    assert page.ask("GET", "/model")["name"] == "mine"
    assert page.ask("DELETE", "/model")["source"] == "demo"
    assert not model_file.exists()
    again.send(signal.SIGTERM)
    assert again.wait() == 0


def _metrics(address: str) -> str:
    return httpx.get(address, timeout=HUNG_SECONDS).raise_for_status().text


def _shown(address: str) -> set[str]:
    """Return the processes whose figures are shown."""
    families = text_string_to_metric_families(_metrics(address))
    return {sample.labels["process"] for family in families for sample in family.samples}


def _until_ready(url: str) -> None:
    deadline = time.monotonic() + HUNG_SECONDS
    while True:
        try:
            if httpx.get(f"{url}/readyz", timeout=HUNG_SECONDS).is_success:
                return
        except httpx.TransportError:
            assert time.monotonic() < deadline
        time.sleep(0.05)


def _end_of(url: str, run_id: str) -> str:
    """Return the events of a run that may still be live."""
    events = {"threadId": run_id, "runId": run_id, "cursor": "0-0"}
    answer = httpx.get(f"{url}/api/v1/agent/events", params=events, timeout=HUNG_SECONDS)
    return answer.raise_for_status().text


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
