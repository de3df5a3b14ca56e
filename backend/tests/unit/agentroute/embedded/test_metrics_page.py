"""The metrics of an instance at one address, whatever its processes are doing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.limits import HUNG_SECONDS
from tests.support.ports import reserved_port

from agentroute.embedded.metrics_page import serve_until
from agentroute.metrics.http_port import Answer, serve

PAGE = b"# TYPE agentroute_worker_runs gauge\nagentroute_worker_runs 3.0\n"
Ask = Callable[[str], Awaitable[tuple[str, str]]]


@asynccontextmanager
async def process(folder: Path, name: str, answer: Answer) -> AsyncIterator[None]:
    """A process with a port of its own."""

    async def handler(path: str, accept: str) -> Answer:
        assert (path, accept) == ("/metrics", "text/plain")
        return answer

    listener = socket.create_server(("127.0.0.1", 0))
    (folder / f"{name}.metrics").write_text(str(listener.getsockname()[1]))
    server = await serve(listener, handler)
    try:
        yield
    finally:
        server.close()


@asynccontextmanager
async def page_of(folder: Path) -> AsyncIterator[Ask]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stopped = asyncio.Event()
        serving = asyncio.create_task(serve_until(stopped, listener, folder))
        port = listener.getsockname()[1]

        async def ask(path: str) -> tuple[str, str]:
            async with asyncio.timeout(HUNG_SECONDS):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
                writer.close()
            return head.decode().split()[1], body.decode()

        yield ask
        stopped.set()
        await asyncio.wait_for(serving, HUNG_SECONDS)


async def test_all_processes_are_on_one_page(tmp_path: Path) -> None:
    async with (
        process(tmp_path, "api", Answer(200, PAGE)),
        process(tmp_path, "worker", Answer(200, PAGE)),
        page_of(tmp_path) as ask,
    ):
        status, page = await ask("/metrics")
        assert status == "200"
        assert 'agentroute_worker_runs{process="api"} 3.0' in page
        assert 'agentroute_worker_runs{process="worker"} 3.0' in page
        assert (await ask("/healthz"))[0] == "200"
        assert (await ask("/"))[0] == "404"


async def test_those_that_do_not_answer_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "worker-2.metrics").write_text(str(reserved_port()))
    (tmp_path / "worker-3.metrics").write_text("")
    (tmp_path / "worker-4.metrics").write_text("99999999")
    async with (
        process(tmp_path, "api", Answer(200, PAGE)),
        process(tmp_path, "worker", Answer(503, b"{}")),
        page_of(tmp_path) as ask,
    ):
        status, page = await ask("/metrics")
        assert status == "200"
        assert "worker" not in page.replace("worker_runs", "")


async def test_without_any_it_says_so(tmp_path: Path) -> None:
    async with page_of(tmp_path) as ask:
        status, page = await ask("/metrics")
        assert status == "503"
        assert "No process of this instance shows metrics now" in page


async def test_a_stranger_on_the_port_of_a_dead_process_breaks_nothing(tmp_path: Path) -> None:
    async with (
        process(tmp_path, "api", Answer(200, PAGE)),
        process(tmp_path, "worker", Answer(200, b"<html>{{{")),
        page_of(tmp_path) as ask,
    ):
        status, page = await ask("/metrics")
        assert status == "200"
        assert 'process="api"' in page
