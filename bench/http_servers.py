"""Compare HTTP servers at what this service does most: many streams of small events.

Every server runs the same ASGI application in one process: each stream sends its events at a pace. Reported are the CPU
of the server per event, and how late events arrive. Servers that are not installed are skipped:

    uv run --project backend --with granian --with hypercorn python bench/http_servers.py
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PORT = 8765
EVENTS, PACE_SECONDS = 100, 0.02
_TICKS = os.sysconf("SC_CLK_TCK")

BOUNDED = f"""
import socket, uvicorn
from functools import partial
from agentroute.http_protocol import BoundedProtocol, Connections
from http_servers import app
protocol = partial(BoundedProtocol, connections=Connections(10_000))
uvicorn.run(app, port={PORT}, http=protocol, access_log=False, log_level="error", lifespan="off")
"""
UVICORN = [
    "-m",
    "uvicorn",
    "http_servers:app",
    "--port",
    str(PORT),
    "--no-access-log",
    "--log-level",
    "error",
]
SERVERS = {
    "uvicorn, httptools, bounded": ["-c", BOUNDED],
    "uvicorn, httptools": [*UVICORN, "--http", "httptools", "--lifespan", "off"],
    "uvicorn, h11": [*UVICORN, "--http", "h11", "--lifespan", "off"],
    "granian": [
        "-m",
        "granian",
        "--interface",
        "asginl",
        "--port",
        str(PORT),
        "--no-ws",
        "--log-level",
        "error",
        "http_servers:app",
    ],
    "hypercorn": [
        "-m",
        "hypercorn",
        "--worker-class",
        "uvloop",
        "--bind",
        f"127.0.0.1:{PORT}",
        "http_servers:app",
    ],
}


async def app(scope, receive, send) -> None:
    """Stream events; each carries the time at which it was sent."""
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}
    )
    for number in range(EVENTS):
        body = b"id: 1-%d\ndata: %.6f %b\n\n" % (number, time.monotonic(), b"x" * 120)
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await asyncio.sleep(PACE_SECONDS)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _read_stream(late: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    async for line in reader:
        if line.startswith(b"data: "):
            late.append(time.monotonic() - float(line.split()[1]))
    writer.close()


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of its children."""
    own = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (int(own[11]) + int(own[12])) / _TICKS + sum(_cpu_seconds(int(child)) for child in children)


def _wait_for_port() -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", PORT)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("The server did not start.")


async def _measure(streams: int) -> list[float]:
    late: list[float] = []
    await asyncio.gather(*(_read_stream(late) for _ in range(streams)))
    return sorted(late)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    for name, command in SERVERS.items():
        if command[0] == "-m" and importlib.util.find_spec(command[1]) is None:
            print(f"{name:28} not installed")
            continue
        environment = os.environ | {"PYTHONPATH": str(HERE)}
        process = subprocess.Popen([sys.executable, *command], env=environment, cwd=HERE)
        try:
            _wait_for_port()
            for _ in range(arguments.rounds):
                before = _cpu_seconds(process.pid)
                late = asyncio.run(_measure(arguments.streams))
                cost = (_cpu_seconds(process.pid) - before) / len(late) * 1e6
                p50, p99 = late[len(late) // 2], late[len(late) * 99 // 100]
                print(
                    f"{name:28} {cost:6.1f} µs CPU an event, late p50 {p50 * 1000:5.1f} p99 {p99 * 1000:6.1f} ms"
                )
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
