"""Whether others notice one user's big bodies: what a second user waits for while 24 of them arrive at once.

    uv run --project backend python bench/loop_stalls.py

Starts a stack of its own with two users. The pulse is a request to ``/healthz`` every 20 ms: its longest answer is about
the longest stall of the API's event loop. All processes share a machine, so the figures include the bench's own load.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import socket
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import orjson
from load import percentile
from runs import BASE_PATH, BenchRun, Load
from sse_client import Target
from stack import StackOptions, running_stack

_PULSE_SECONDS = 0.02
_LIST_SECONDS = 0.1
_SETTLED_SECONDS = 0.5
_USER_MESSAGE = {"id": "m-1", "role": "user", "content": "deltas=2 rate=0 first=0"}

SHAPES: dict[str, Callable[[], dict[str, Any]]] = {
    "one text of 4 MB": lambda: {"state": "x" * 4_000_000},
    "state of 190,000 members": lambda: {"state": {f"k{n:06}": 1 for n in range(190_000)}},
    "state of 190,000 numbers": lambda: {"state": [0.1234567891234567] * 190_000},
    "5,000 messages, 3.7 MB": lambda: {"messages": [_message(n, "x" * 700) for n in range(4999)]},
    "10,000 parts": lambda: {
        "messages": [_message(n, [{"type": "text", "text": "x" * 200}] * 10) for n in range(1000)]
    },
    "5,000 wrong messages": lambda: {"messages": [{"id": 5, "role": "user", "content": [1, 1]}] * 4990},
    "context of 190,000 numbers": lambda: {"context": [5] * 190_000},
}
"""What a body is made of, besides one message. None has more than 4 MiB or 200,000 values."""


def _message(number: int, content: Any) -> dict[str, Any]:
    return {"id": f"m{number}", "role": "user" if number % 2 else "assistant", "content": content}


def big_bodies(shape: str, count: int) -> list[bytes]:
    parts = SHAPES[shape]()
    rest = orjson.dumps(parts | {"messages": [*parts.get("messages", []), _USER_MESSAGE]})[1:]
    return [b'{"threadId":"big-%b",%b' % (uuid.uuid4().hex.encode(), rest) for _ in range(count)]


def send(target: Target, body: bytes) -> str:
    """Send one body over a connection of its own and return the status, in a thread: the bench's loop must not stall."""
    request = target.request("POST", f"{BASE_PATH}/runs", body).replace(b"text/event-stream", b"*/*", 1)
    try:
        with socket.create_connection((target.host, target.port), timeout=300) as connection:
            connection.sendall(request)
            return connection.recv(16).decode()[9:12]
    except OSError as exc:
        return type(exc).__name__


async def repeat(target: Target, path: str, pause_seconds: float, waits: list[float]) -> None:
    """Ask again and again over one connection, and note how long each answer took."""
    reader, writer = await asyncio.open_connection(target.host, target.port)
    try:
        while True:
            started = time.perf_counter()
            writer.write(target.request("GET", path))
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
            waits.append(time.perf_counter() - started)
            await asyncio.sleep(pause_seconds)
    finally:
        writer.close()


async def first_words(target: Target, waits: list[float]) -> None:
    """Run after run, as a second user who talks to the agent."""
    while True:
        run = BenchRun(Load(deltas=2, rate=0))
        try:
            await run.run(target)
        finally:
            if run.trace.first_text_ns:
                waits.append((run.trace.first_text_ns - run.trace.sent_ns) / 1e9)
            elif run.trace.sent_ns:
                # Cut off at the end of the measurement: it waited at least this long.
                waits.append((time.time_ns() - run.trace.sent_ns) / 1e9)


async def measure(heavy: Target, other: Target, shape: str | None, bodies: int) -> dict[str, Any]:
    """Send the bodies and return what the other user waited for until the last of them was answered."""
    # First: whoever watches shares this process, and would notice how long it takes.
    prepared = big_bodies(shape, bodies) if shape else []
    pulse: list[float] = []
    lists: list[float] = []
    words: list[float] = []
    watchers = [
        asyncio.create_task(repeat(other, "/healthz", _PULSE_SECONDS, pulse)),
        asyncio.create_task(repeat(other, f"{BASE_PATH}/threads", _LIST_SECONDS, lists)),
        asyncio.create_task(first_words(other, words)),
    ]
    await asyncio.sleep(1)
    statuses: Counter[str] = Counter()
    for waits in (pulse, lists, words):
        waits.clear()
    started = time.perf_counter()
    if shape is None:
        await asyncio.sleep(5)
    else:
        with ThreadPoolExecutor(bodies) as senders:
            loop = asyncio.get_running_loop()
            answers = [loop.run_in_executor(senders, send, heavy, body) for body in prepared]
            statuses.update(await asyncio.gather(*answers))
    took = time.perf_counter() - started
    # What the bodies started in the workers belongs to what others notice.
    await asyncio.sleep(3)
    for watcher in watchers:
        if watcher.done():
            # It should have watched to the end.
            watcher.result()
        watcher.cancel()
    await asyncio.gather(*watchers, return_exceptions=True)
    return {
        "shape": shape or "nothing",
        "answers": dict(statuses),
        "answered_seconds": took,
        "pulse": pulse,
        "lists": lists,
        "words": words,
    }


async def settle(other: Target) -> None:
    """Wait until the service is as quick as before."""
    while True:
        words: list[float] = []
        watcher = asyncio.create_task(first_words(other, words))
        await asyncio.sleep(1)
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
        if words and percentile(words, 0.5) < _SETTLED_SECONDS:
            return


def row(found: dict[str, Any]) -> str:
    def spread(waits: list[float]) -> str:
        return f"{percentile(waits, 0.5) * 1000:.0f} (max {max(waits) * 1000:.0f})" if waits else "none"

    answers = ", ".join(f"{count} x {status}" for status, count in sorted(found["answers"].items()))
    cells = [found["shape"], answers, f"{found['answered_seconds']:.1f}"]
    return f"| {' | '.join([*cells, *(spread(found[name]) for name in ('pulse', 'lists', 'words'))])} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bodies", type=int, default=24)
    parser.add_argument("--shape", action="append", choices=list(SHAPES), help="only this one")
    options = parser.parse_args()
    secret = secrets.token_hex(32)

    async def measure_all(base_url: str) -> None:
        heavy, other = (
            Target.of(base_url, (f"Authorization: Bearer {_token(user, secret)}",))
            for user in ("heavy", "other")
        )
        await settle(other)
        print(
            f"| {options.bodies} bodies of | answers | answered s | pulse ms | thread list ms | first word ms |\n|---|---|---|---|---|---|"
        )
        for shape in (None, *(options.shape or SHAPES)):
            print(row(await measure(heavy, other, shape, options.bodies)), flush=True)
            await settle(other)

    with running_stack(StackOptions(environment={"AGENT_IDENTITY__JWT_SECRET": secret})) as stack:
        asyncio.run(measure_all(stack.base_url))


def _token(user: str, secret: str) -> str:
    now = int(time.time())
    return jwt.encode({"sub": user, "iat": now, "exp": now + 3600}, secret, algorithm="HS256")


if __name__ == "__main__":
    main()
