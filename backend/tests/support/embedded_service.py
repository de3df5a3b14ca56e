"""The whole service as a user starts it, ``agentroute embedded``, with a demo model that is in a hurry."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
from tests.support.limits import HUNG_SECONDS
from tests.support.ports import reserved_port

from agentroute.embedded.child_process import dying_with_parent
from agentroute.embedded.local_postgres import LocalPostgres
from agentroute.embedded.local_valkey import LocalValkey

API = "/api/v1/agent"
_DELTA_SECONDS = 0.002
_READY = "AgentRoute is ready: "


@contextmanager
def embedded_service(data_dir: Path, env: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run the service on a free port; yields the base URL of its chat API.

    Every caller is the one local user, and the model is tried once: it fails on purpose, and then always.
    """
    port = reserved_port()
    settings = {
        "AGENT_MODEL__BASE_URL": f"http://127.0.0.1:{port}/v1",
        "AGENT_MODEL__MAX_RETRIES": "0",
        **(env or {}),
    }
    model = ["agentroute.demo.model", "--port", str(port), "--delay-seconds", str(_DELTA_SECONDS)]
    service = ["agentroute.cli", "embedded", "--port", str(reserved_port()), "--data-dir", str(data_dir)]
    with (
        _python(model, {}, stdout=subprocess.DEVNULL) as model_process,
        _python(service, settings, stdout=subprocess.PIPE) as process,
    ):
        url = _read_url(process)
        while not _answers(f"http://127.0.0.1:{port}/healthz"):
            assert model_process.poll() is None, "the demo model did not start"
            time.sleep(0.05)
        yield url + API


@contextmanager
def bundled_service(data_dir: Path) -> Iterator[str]:
    """Run the service on a free port as it comes, with the bundled demo model; yields the base URL of its chat API."""
    service = ["agentroute.cli", "embedded", "--port", str(reserved_port()), "--data-dir", str(data_dir)]
    with _python(service, {}, stdout=subprocess.PIPE) as process:
        yield _read_url(process) + API


@contextmanager
def second_api(data_dir: Path, env: Mapping[str, str]) -> Iterator[str]:
    """Run one more API process on the stores of a running service; yields the base URL of its chat API."""
    port = reserved_port()
    stores = {
        "AGENT_DATABASE__URL": LocalPostgres(data_dir / "postgres").url,
        "AGENT_REDIS__URL": LocalValkey(data_dir / "valkey").url,
    }
    serve = ["agentroute.cli", "serve", "--port", str(port)]
    with _python(serve, {**stores, **env}, stdout=subprocess.DEVNULL) as process:
        while not _answers(f"http://127.0.0.1:{port}/healthz"):
            assert process.poll() is None, "the API process did not start"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}{API}"


def _read_url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    said: list[str] = []
    for line in process.stdout:
        said.append(line)
        if line.startswith(_READY):
            return line.removeprefix(_READY).split()[0]
    raise AssertionError("the service did not start:\n" + "".join(said))


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


@contextmanager
def _python(arguments: list[str], env: Mapping[str, str], *, stdout: int) -> Iterator[subprocess.Popen[str]]:
    command = dying_with_parent([sys.executable, "-m", *arguments], signal.SIGTERM)
    with subprocess.Popen(
        command, stdout=stdout, stderr=subprocess.STDOUT, text=True, env={**os.environ, **env}
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.communicate(timeout=HUNG_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
