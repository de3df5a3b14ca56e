"""What hostile requests do to the service: memory of the API process and another user's waits, before, during and after.

    uv run --project backend python bench/attacks.py
    uv run --project backend python bench/attacks.py --only "1 GB, chunked" --seconds 10

Starts a stack of its own with the limits that ship. One user attacks; another lists threads every 50 ms over one
connection. All processes share a machine, so the figures include the attacker's own load.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import secrets
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import cpu
import jwt
import orjson
from load import percentile
from loop_stalls import repeat
from runs import BASE_PATH
from sse_client import Target
from stack import StackOptions, running_stack

_MIB = 1 << 20
_PAUSE_SECONDS = 0.05
_PIECE = b"x" * (64 << 10)
_SHIPPED = {
    "AGENT_WORKER__CONCURRENCY": "50",
    "AGENT_WORKER__USER_SHARE": "0.75",
    "AGENT_LIMITS__MAX_RUNS_PER_USER": "100",
    "AGENT_LIMITS__MAX_QUEUED_RUNS": "1000",
}
"""What the stack of the benches lifts."""
_BODY = orjson.dumps({"messages": [{"role": "user", "content": "deltas=20 rate=20 first=0"}]})


@dataclass
class Attack:
    """What one user does for a while."""

    target: Target
    seconds: float
    answers: Counter[str] = field(default_factory=Counter)
    """Statuses; of what was cut off without an answer, how."""

    def head(self, method: str, path: str, *more: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.target.host}", *self.target.headers, *more]
        return "\r\n".join([*lines, "", ""]).encode()

    async def send(self, pieces: AsyncIterator[bytes], *, hold: bool = False) -> None:
        """Send a request over a connection of its own, read its status and, if told, what follows until time is up."""
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(self.target.host, self.target.port)
            try:
                async with asyncio.timeout(self.seconds):
                    answer = asyncio.create_task(reader.read(64))
                    await _write(writer, pieces, answer)
                    status = (await answer)[9:12].decode() or "closed"
                    self.answers[status] += 1
                    while hold and await reader.read(1 << 16):
                        pass
                return
            except TimeoutError:
                if not hold:
                    self.answers["still open"] += 1
                return
            finally:
                writer.close()
        self.answers["reset"] += 1


async def _write(
    writer: asyncio.StreamWriter, pieces: AsyncIterator[bytes], answer: asyncio.Task[bytes]
) -> None:
    """Write until everything is sent, or the service has answered."""
    with contextlib.suppress(OSError):
        async for piece in pieces:
            if answer.done():
                return
            writer.write(piece)
            await writer.drain()


async def _whole(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _slow(head: bytes, text: bytes) -> AsyncIterator[bytes]:
    yield head
    for place in range(len(text)):
        await asyncio.sleep(1)
        yield text[place : place + 1]


def _json(length: int) -> tuple[str, str]:
    return "Content-Type: application/json", f"Content-Length: {length}"


async def huge_json(attack: Attack) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield attack.head("POST", f"{BASE_PATH}/runs", *_json(100 * _MIB))
        for _ in range(100 * _MIB // len(_PIECE)):
            yield _PIECE

    await _at_once(attack.send(pieces()) for _ in range(8))


async def deep_json(attack: Attack) -> None:
    body = b'{"state":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
    request = attack.head("POST", f"{BASE_PATH}/runs", *_json(len(body))) + body
    await _at_once(attack.send(_whole(request)) for _ in range(100))


async def endless_chunks(attack: Attack) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        more = ("Content-Type: application/json", "Transfer-Encoding: chunked")
        yield attack.head("POST", f"{BASE_PATH}/runs", *more)
        for _ in range((1 << 30) // len(_PIECE)):
            yield b"%x\r\n%b\r\n" % (len(_PIECE), _PIECE)
        yield b"0\r\n\r\n"

    await _at_once(attack.send(pieces()) for _ in range(4))


async def slow_heads(attack: Attack) -> None:
    begun = f"GET /healthz HTTP/1.1\r\nHost: {attack.target.host}\r\nX-Slow: ".encode()
    await _at_once(attack.send(_slow(begun, b"x" * 3600)) for _ in range(500))


async def slow_bodies(attack: Attack) -> None:
    head = attack.head("POST", f"{BASE_PATH}/runs", *_json(1 << 20))
    await _at_once(attack.send(_slow(head, b'{"messages":[' + b" " * 3600)) for _ in range(500))


async def many_runs(attack: Attack) -> None:
    request = attack.head("POST", f"{BASE_PATH}/runs", *_json(len(_BODY))) + _BODY
    await _at_once(attack.send(_whole(request)) for _ in range(1000))


async def many_streams(attack: Attack) -> None:
    body = orjson.loads(_BODY) | {"threadId": "followed"}
    sent = orjson.dumps(body)
    await attack.send(_whole(attack.head("POST", f"{BASE_PATH}/runs", *_json(len(sent))) + sent))
    request = attack.head("GET", f"{BASE_PATH}/events?threadId=followed", "Accept: text/event-stream")
    await _at_once(attack.send(_whole(request), hold=True) for _ in range(500))


async def _at_once(requests: Iterable[Awaitable[None]]) -> None:
    await asyncio.gather(*requests)


ATTACKS: dict[str, Callable[[Attack], Awaitable[None]]] = {
    "100 MB of JSON, 8 at once": huge_json,
    "10,000 levels deep, 100 at once": deep_json,
    "1 GB, chunked, 4 at once": endless_chunks,
    "500 headers, a byte a second": slow_heads,
    "500 bodies, a byte a second": slow_bodies,
    "1,000 runs at once": many_runs,
    "500 streams of one user": many_streams,
}


async def measure(
    name: str, attacker: Target, other: Target, seconds: float, memory: Callable[[], int]
) -> str:
    """Return a row of the table."""
    waits: list[float] = []
    watcher = asyncio.create_task(repeat(other, f"{BASE_PATH}/threads", _PAUSE_SECONDS, waits))
    figures: list[float] = []
    attack = Attack(attacker, seconds)
    before, most = memory(), 0

    async def peak() -> None:
        nonlocal most
        while True:
            most = max(most, memory())
            await asyncio.sleep(0.1)

    peaks = asyncio.create_task(peak())

    # At least a second: some attacks are refused sooner than the other user asks again.
    async def attacked() -> None:
        await asyncio.gather(ATTACKS[name](attack), asyncio.sleep(1))

    for phase in (asyncio.sleep(3), attacked(), asyncio.sleep(3)):
        waits.clear()
        await phase
        # Nobody was answered meanwhile: worse than any figure.
        figures.append(percentile(waits, 0.99) * 1000 if waits else float("inf"))
    for task in (watcher, peaks):
        task.cancel()
    await asyncio.gather(watcher, peaks, return_exceptions=True)
    answers = ", ".join(f"{count} of {status}" for status, count in sorted(attack.answers.items()))
    sizes = " | ".join(f"{size / _MIB:.0f}" for size in (before, most, memory()))
    return f"| {name} | {answers} | {sizes} | " + " | ".join(f"{wait:.0f}" for wait in figures) + " |"


async def bench(names: list[str], seconds: float) -> None:
    secret = secrets.token_hex(32)

    def token(user: str) -> tuple[str, ...]:
        now = int(time.time())
        claims = {"sub": user, "iat": now, "exp": now + 3600}
        return (f"Authorization: Bearer {jwt.encode(claims, secret, algorithm='HS256')}",)

    options = StackOptions(environment={**_SHIPPED, "AGENT_IDENTITY__JWT_SECRET": secret})
    with running_stack(options) as stack:
        attacker, other = (Target.of(stack.base_url, token(user)) for user in ("mallory", "ada"))
        print("| attack | answers | MiB before | most | after | p99 ms before | during | after |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for name in names:
            row = await measure(
                name, attacker, other, seconds, lambda: cpu.read(stack.roots).resident_bytes[cpu.API]
            )
            print(row, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=ATTACKS, action="append", help="an attack; repeat it for more")
    parser.add_argument("--seconds", type=float, default=30.0, help="an attack is given up after this time")
    arguments = parser.parse_args()
    asyncio.run(bench(arguments.only or list(ATTACKS), arguments.seconds))


if __name__ == "__main__":
    sys.exit(main())
