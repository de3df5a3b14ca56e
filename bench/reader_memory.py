"""What readers cost that have nothing to read, or do not read.

Private memory of their API process before and at most, and CPU of the API process, Postgres and Valkey meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

import cpu
import psutil
from tests.faults.launcher import Ground, Node, Plot, http_client
from tests.faults.recorder import BASE, Owner, Recorder

from v1.agent.event_stream import WRITE_TIMEOUT_SECONDS

_MIB = 1 << 20
_IDLE_SECONDS = 30.0
"""Two heartbeats of every stream."""
_IDLE_READER_BYTES = 12 << 10
"""Of each idle reader at most: twice what is measured; one that keeps its request takes 42 KiB (docs/adr/0037)."""
_SLOW_SECONDS = WRITE_TIMEOUT_SECONDS + 10.0
"""Long enough to see that readers that take next to nothing are let go."""
_SLOW_WORDS = 100_000
"""1.6 MB: more than a socket holds whose other end takes next to nothing."""


@dataclass(frozen=True)
class Growth:
    """Private memory of one process, in bytes; pages it shares with its parent are not its own."""

    before: int
    most: int
    bound: int
    """What the process may have at most."""
    cores: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """CPU of the process, Postgres and Valkey while the readers were open and nothing happened."""

    @property
    def bounded(self) -> bool:
        return self.most <= self.bound

    def row(self, readers: int) -> str:
        """Return the figures as cells."""
        each = (self.most - self.before) / readers / 1024
        cores = " | ".join(f"{cores:.4f}" for cores in (*self.cores, sum(self.cores)))
        return f"{self.before / _MIB:.0f} | {self.most / _MIB:.0f} | {each:.1f} KiB | {cores}"


_COPY = """
WITH thread AS (
    INSERT INTO agent_chat_session OVERRIDING SYSTEM VALUE
    SELECT (jsonb_populate_record(s, jsonb_build_object('id', s.id + 1000 * n, 'thread_id', 'copy-' || n))).*
    FROM agent_chat_session AS s, generate_series(1, $1::int) AS n WHERE s.thread_id = $2
), run AS (
    INSERT INTO agent_run OVERRIDING SYSTEM VALUE
    SELECT (jsonb_populate_record(r, jsonb_build_object(
        'id', r.id + 1000 * n, 'session_id', r.session_id + 1000 * n, 'run_id', 'copy-' || n,
        'idempotency_key', 'copy-' || n, 'task_id', 'copy-' || n, 'status', 'running', 'ended_at', NULL,
        'last_seq', r.last_seq - 1, 'worker_id', 'nobody', 'lease_until', now() + interval '1 hour',
        'deadline_at', now() + interval '1 hour'))).*
    FROM agent_run AS r JOIN agent_chat_session AS s ON s.id = r.session_id, generate_series(1, $1::int) AS n
    WHERE s.thread_id = $2
)
INSERT INTO agent_run_event
SELECT (jsonb_populate_record(e, jsonb_build_object('session_id', e.session_id + 1000 * n))).*
FROM agent_run_event AS e JOIN agent_chat_session AS s ON s.id = e.session_id
JOIN agent_run AS r ON r.session_id = s.id AND r.ordinal = e.ordinal AND e.seq < r.last_seq,
    generate_series(1, $1::int) AS n WHERE s.thread_id = $2
"""
"""Copies an ended thread; in the copies the run is live, and says nothing more."""


async def idle_readers(ground: Ground, readers: int, *, threads: int) -> Growth:
    """Follow live runs in which nothing happens; each reader reads its heartbeats."""
    # One user reads them all: more than the rates allow as they ship.
    settings = {"AGENT_STREAM__HEARTBEAT_SECONDS": "15", "AGENT_RATES__USER_STREAMS": "0"}
    async with ground.plot(settings) as plot, http_client() as client:
        api = await plot.start("api")
        worker = await plot.start("worker")
        recorder = Recorder(plot, client)
        await plot.fetch(_COPY, threads, await _ended_thread(recorder))
        await worker.terminate()
        before, ended = _private_bytes(api), _ended_streams(api)
        reading = asyncio.get_running_loop()
        with ExitStack() as sockets:
            for number in range(readers):
                name = f"copy-{1 + number % threads}"
                reader = sockets.enter_context(await _open_stream(plot, api, name, run_id=name))
                reading.add_reader(reader, reader.recv, 4096)
                sockets.callback(reading.remove_reader, reader)
            # The first two seconds: whatever the last streams still have to open.
            await asyncio.sleep(2.0)
            # The first root counts a process: what is left of this one are Postgres and Valkey.
            roots: dict[int, str | None] = {api.pid: cpu.API, os.getpid(): None}
            busy = cpu.read(roots)
            most = await _most(api, _IDLE_SECONDS)
            used = cpu.used(busy, cpu.read(roots))
            if let_go := _ended_streams(api) - ended:
                raise RuntimeError(f"{let_go} streams ended before their clients left")
        cores = tuple(used.get(group, 0.0) / _IDLE_SECONDS for group in (cpu.API, cpu.POSTGRES, cpu.REDIS))
        bound = before + readers * _IDLE_READER_BYTES + 4 * _MIB
        return Growth(before, most, bound, (cores[0], cores[1], cores[2]))


async def slow_readers(ground: Ground, readers: int) -> Growth:
    """Follow a long run at one byte a second, from before it begins."""
    async with ground.plot() as plot, http_client() as client:
        api = await plot.start("api")
        await plot.start("worker")
        recorder = Recorder(plot, client)
        thread = await _ended_thread(recorder)
        before = _private_bytes(api)
        with ExitStack() as sockets:
            open_sockets = [
                sockets.enter_context(await _open_stream(plot, api, thread, buffer=1)) for _ in range(readers)
            ]
            sipping = asyncio.create_task(_sip(open_sockets))
            wish = recorder.wish(words=_SLOW_WORDS, pace=0.0)
            run = asyncio.create_task(recorder.run(wish, thread_id=thread))
            most = 0
            while not run.done():
                most = max(most, await _most(api, 1.0))
            most = max(most, await _most(api, _SLOW_SECONDS))
            seen = await run
            sipping.cancel()
        let_go = sum(
            line.get("message") == "request" and line["duration_ms"] >= WRITE_TIMEOUT_SECONDS * 1000
            for line in api.log()
        )
        if let_go != readers:
            raise RuntimeError(
                f"only {let_go} readers took too little: the others' buffers hold the whole run"
            )
        if len(seen.text.split()) != _SLOW_WORDS:
            raise RuntimeError("the reader beside the slow ones missed something")
        return Growth(before, most, before + 200 * _MIB)


MEASURES: tuple[tuple[str, int, Callable[[Ground, int], Awaitable[Growth]]], ...] = (
    ("500 of 10 live runs that say nothing", 500, partial(idle_readers, threads=10)),
    ("2,000 of 10 live runs that say nothing", 2000, partial(idle_readers, threads=10)),
    ("2,000 of 200 live runs that say nothing", 2000, partial(idle_readers, threads=200)),
    ("2,000 of 2,000 live runs that say nothing", 2000, partial(idle_readers, threads=2000)),
    ("20 of a run of 100,000 words, at one byte a second", 20, slow_readers),
)


async def _ended_thread(recorder: Recorder) -> str:
    wish = recorder.wish(words=3)
    await recorder.run(wish)
    return f"thread-{wish.run_id}"


async def _open_stream(
    plot: Plot, api: Node, thread_id: str, *, run_id: str = "", buffer: int | None = None
) -> socket.socket:
    """Follow a thread over a socket, with the usual buffer or one of so many bytes; returns once the answer has begun."""
    host, _, port = urlsplit(api.url).netloc.partition(":")
    reader = socket.socket()
    if buffer is not None:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    reader.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(reader, (host, int(port)))
    owner = Owner()
    request = (
        f"GET {BASE}/events?threadId={thread_id}{f'&runId={run_id}' * bool(run_id)} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n"
        f"Authorization: Bearer {plot.token(owner.tenant, owner.user)}\r\n\r\n"
    )
    await loop.sock_sendall(reader, request.encode())
    if not (await loop.sock_recv(reader, 15)).startswith(b"HTTP/1.1 200"):
        raise RuntimeError("the stream was refused")
    return reader


def _ended_streams(api: Node) -> int:
    return sum("/events" in str(line.get("path")) for line in api.log())


async def _sip(sockets: list[socket.socket]) -> None:
    while True:
        await asyncio.sleep(1.0)
        for reader in sockets:
            try:
                reader.recv(1)
            except BlockingIOError:
                continue


async def _most(api: Node, seconds: float) -> int:
    """Watch a process for a while and return the most it had."""
    most = 0
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while loop.time() < until:
        most = max(most, _private_bytes(api))
        await asyncio.sleep(0.5)
    return most


def _private_bytes(node: Node) -> int:
    return psutil.Process(node.pid).memory_full_info().uss
