"""The API process as an operator sees it: it refuses to start, serves, and stops when told to."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest
from tests.support.limits import HUNG_SECONDS, NEVER_SECONDS

BACKEND = Path(__file__).parents[3]
PROGRAM = """
import asyncio, sys
from agentroute.app import create_app
from agentroute.server import listen, serve
from core.config import IdentitySettings, ServerSettings, Settings
from core.log import configure_logging
from v1.agent import event_stream
from tests.support.memory_container import memory_container
from tests.support.memory_ports import MemoryRuns

settings = Settings(
    identity=IdentitySettings(mode="local"),
    server=ServerSettings(port=0, drain_seconds=float(sys.argv[1]), max_connections=16),
)
configure_logging(settings)

class Flooding(MemoryRuns):
    async def _frames(self, thread, start, only):
        if thread.thread_id != "flood":
            async for frame in super()._frames(thread, start, only):
                yield frame
            return
        while True:
            yield b"data: " + b"x" * 65536 + b"\\n\\n"

class Deaf(asyncio.Event):
    def set(self): pass

drain = Deaf() if sys.argv[2] == "deaf" else asyncio.Event()
runs = Flooding(drain)
container = memory_container(settings, runs)
listener = listen(settings.server.host, settings.server.port)
print(listener.getsockname()[1], flush=True)
sys.exit(serve(create_app(settings, container=container), settings, listener))
"""
ECHO = """
import sys
from fastapi import FastAPI, Request
from agentroute.server import listen, serve
from core.config import Settings

app = FastAPI()

@app.get("/")
def echo(request: Request):
    return [request.client.host, request.url.scheme, request.scope["server"][1]]

listener = listen("127.0.0.1", 0)
print(listener.getsockname()[1], flush=True)
sys.exit(serve(app, Settings(), listener))
"""
RUN = {"threadId": "t-1", "runId": "r-1", "messages": [{"id": "m-1", "role": "user", "content": "hello"}]}

Start = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a server over the in-memory ports; return its process and base URL."""
    processes: list[subprocess.Popen[str]] = []

    def start(drain_seconds: float = 10, drain: str = "heard") -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(drain_seconds), drain],
            cwd=BACKEND,  # where the program finds tests.support
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        return process, f"http://127.0.0.1:{int(process.stdout.readline())}"

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_open_streams_in_order_and_then_the_process(start: Start, sent: signal.Signals) -> None:
    process, base = start(drain_seconds=NEVER_SECONDS)
    with httpx.Client(base_url=base, timeout=HUNG_SECONDS) as client:
        assert client.post("/api/v1/agent/runs", json=RUN).status_code == 202
        with client.stream("GET", "/api/v1/agent/events?threadId=t-1") as stream:
            body = stream.iter_bytes()
            assert next(body) == b"retry: 2000\n\n"

            process.send_signal(sent)
            # A reset would raise here: the body has to end as HTTP says.
            assert list(body) == []

    # The grace has no end here: the streams ended by themselves.
    assert process.wait(timeout=HUNG_SECONDS) == 0


def test_a_stream_that_hears_no_drain_is_cut_at_the_end_of_the_grace(start: Start) -> None:
    process, base = start(drain_seconds=1, drain="deaf")
    with httpx.Client(base_url=base, timeout=HUNG_SECONDS) as client:
        client.post("/api/v1/agent/runs", json=RUN)
        with client.stream("GET", "/api/v1/agent/events?threadId=t-1") as stream:
            next(stream.iter_bytes())
            process.send_signal(signal.SIGTERM)

            assert process.wait(timeout=HUNG_SECONDS) == 0


def test_a_client_that_leaves_is_noticed_and_one_that_stops_reading_costs_no_memory(start: Start) -> None:
    process, base = start()
    port = int(base.rpartition(":")[2])
    with httpx.Client(base_url=base, timeout=HUNG_SECONDS) as client:
        client.post("/api/v1/agent/runs", json=RUN | {"threadId": "flood"})

    with closing(socket.create_connection(("127.0.0.1", port))) as stalled:
        stalled.sendall(b"GET /api/v1/agent/events?threadId=flood HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert stalled.recv(15) == b"HTTP/1.1 200 OK"
        # The flood has filled every buffer long before another request is answered.
        for _ in range(20):
            httpx.get(f"{base}/healthz", timeout=HUNG_SECONDS)
        memory = Path(f"/proc/{process.pid}/statm")
        if memory.exists():
            pages = int(memory.read_text().split()[1])
            assert pages * 4096 < 300 << 20
    # Closed with data unread: the server must let go, or it could not stop in order.
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=HUNG_SECONDS) == 0


def test_clients_without_a_request_do_not_keep_others_out(start: Start) -> None:
    _, base = start()
    address = ("127.0.0.1", int(base.rpartition(":")[2]))
    with ExitStack() as idle:
        for _ in range(64):
            half = idle.enter_context(closing(socket.create_connection(address, timeout=HUNG_SECONDS)))
            half.sendall(b"GET /healthz HT")

        assert httpx.get(f"{base}/healthz", timeout=HUNG_SECONDS).status_code == 200


def test_a_target_without_end_is_refused_with_an_answer_that_arrives(start: Start) -> None:
    _, base = start()
    address = ("127.0.0.1", int(base.rpartition(":")[2]))
    with closing(socket.create_connection(address, timeout=HUNG_SECONDS)) as client:
        client.sendall(b"GET /?" + b"a" * (1 << 20))

        assert client.recv(12) == b"HTTP/1.1 414"


def serve(**environment: str) -> subprocess.CompletedProcess[str]:
    program = (
        "import sys; from agentroute.server import run_server; from core.config import Settings; "
        "sys.exit(run_server(Settings()))"
    )
    return subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=HUNG_SECONDS,
        check=False,
    )


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


LOCAL = {"AGENT_IDENTITY__MODE": "local"}


def test_without_postgres_it_does_not_start(redis_url: str) -> None:
    done = serve(
        AGENT_DATABASE__URL="postgresql://a:canary-pw@127.0.0.1:1/x", AGENT_REDIS__URL=redis_url, **LOCAL
    )

    assert done.returncode == 1
    assert last_line(done).startswith("error: Postgres: ")
    assert "canary" not in done.stderr


def test_without_its_tables_it_does_not_start(blank_database_url: str, redis_url: str) -> None:
    done = serve(AGENT_DATABASE__URL=blank_database_url, AGENT_REDIS__URL=redis_url, **LOCAL)

    assert done.returncode == 1
    assert last_line(done).startswith("error: Migrations: ")


def test_without_redis_it_does_not_start(database_url: str) -> None:
    done = serve(AGENT_DATABASE__URL=database_url, AGENT_REDIS__URL="redis://127.0.0.1:1/0", **LOCAL)

    assert done.returncode == 1
    assert last_line(done).startswith("error: Redis: ")


def test_a_taken_port_is_one_line(database_url: str, redis_url: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        done = serve(
            AGENT_DATABASE__URL=database_url, AGENT_REDIS__URL=redis_url, AGENT_SERVER__PORT=port, **LOCAL
        )

    assert done.returncode == 1
    assert last_line(done).startswith(f"error: Cannot listen on 127.0.0.1:{port}: ")


def test_an_unknown_setting_is_told(redis_url: str) -> None:
    done = serve(
        AGENT_DATABASE__URL="postgresql://127.0.0.1:1/x",
        AGENT_REDIS__URL=redis_url,
        AGENT_REDISS__URL="x",
        **LOCAL,
    )

    assert "AGENT_REDISS__URL" in done.stderr


def test_no_header_says_who_calls_and_how() -> None:
    told = {
        "X-Forwarded-For": "192.0.2.7",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Port": "9001",
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "for=192.0.2.7;proto=https",
    }
    with subprocess.Popen([sys.executable, "-c", ECHO], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            answer = httpx.get(f"http://127.0.0.1:{port}/", headers=told, timeout=HUNG_SECONDS)
        finally:
            process.terminate()
            process.communicate(timeout=HUNG_SECONDS)

    assert answer.json() == ["127.0.0.1", "http", port]
