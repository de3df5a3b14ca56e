"""The health check of a container: 0 for a process that lives, 1 with the reason for any other."""

from __future__ import annotations

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support.limits import HUNG_SECONDS
from tests.support.ports import reserved_port

from agentroute import first_process
from agentroute.healthcheck import main


@pytest.fixture
def port() -> Iterator[int]:
    with served("127.0.0.1") as port:
        yield port


@contextmanager
def served(host: str) -> Iterator[int]:
    """A server whose ``/healthz`` is well and whose ``/readyz`` is not."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz" else 503)
            self.end_headers()

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Nothing."""

    with http.server.HTTPServer((host, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_process_that_lives_is_0(port: int) -> None:
    assert main([str(port)]) == 0


@pytest.mark.parametrize("variable", ["AGENT_SERVER__PORT", "AGENT_SERVER__ADMIN_PORT"])
def test_the_port_is_that_of_the_settings(port: int, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_SERVER__HOST", socket.inet_ntoa(bytes(4)))
    monkeypatch.setenv("AGENT_SERVER__PORT", "1")
    monkeypatch.setenv(variable, str(port))
    assert main([]) == 0


@pytest.mark.parametrize("place", ["SERVER__", "SERVER__ADMIN_", "METRICS__"])
def test_a_port_is_asked_at_its_own_address(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # As in the image: every address.
    monkeypatch.setenv("AGENT_SERVER__HOST", socket.inet_ntoa(bytes(4)))
    with served("127.0.0.2") as port:
        monkeypatch.setenv(f"AGENT_{place}HOST", "127.0.0.2")
        monkeypatch.setenv(f"AGENT_{place}PORT", str(port))
        # The metrics' port is named by the check.
        assert main([str(port)] if place == "METRICS__" else []) == 0


def test_a_process_that_is_not_well_is_1(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(port), "/readyz"]) == 1
    assert capsys.readouterr().err == "status 503\n"


def test_no_process_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(reserved_port())]) == 1
    assert capsys.readouterr().err.startswith("no answer: ")


def test_the_check_imports_neither_the_service_nor_a_web_framework() -> None:
    show = "import sys, agentroute.healthcheck; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", show], capture_output=True, text=True, check=True, timeout=HUNG_SECONDS
    ).stdout.split()
    assert {"pydantic", "typer", "fastapi", "asyncio", "core"} & set(loaded) == set()


def test_the_first_process_of_a_container_ends_on_sigterm_and_others_are_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    first_process.end_on_sigterm()
    assert signal.getsignal(signal.SIGTERM) is before

    ended: list[int] = []
    monkeypatch.setattr(os, "getpid", lambda: 1)
    monkeypatch.setattr(os, "_exit", ended.append)
    try:
        first_process.end_on_sigterm()
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended == [143]
