"""The metrics of an instance at one address: ``python -m agentroute.embedded.metrics_page FOLDER --host … --port …``

Each process of the instance that counts has a port of its own, which it writes into ``FOLDER/<process>.metrics``. This
program asks all of them and answers with one page. A process of its own: the supervisor has one thread and waits for
nobody, and the API is what is to be seen while it is down.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
from pathlib import Path

from agentroute.metrics.http_port import Answer, serve
from agentroute.metrics.merged_page import is_page, merged_page

SUFFIX = ".metrics"
_LOOPBACK = "127.0.0.1"
_SECONDS = 3.0
"""For the page of one process. Its port has a thread of its own, which answers at once."""
_MAX_BYTES = 4 << 20
_NOBODY = b'{"detail":"No process of this instance shows metrics now. It may be starting."}\n'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    family, *_, address = socket.getaddrinfo(
        options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    try:
        listener = socket.create_server(address[:2], family=family)
    except OSError as exc:
        why = exc.strerror or str(exc)
        print(f"Cannot listen on {options.host}:{options.port} for metrics: {why}.", file=sys.stderr)
        return 1
    with listener:
        asyncio.run(_until_signal(listener, options.folder))
    return 0


async def _until_signal(listener: socket.socket, folder: Path) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    await serve_until(stopped, listener, folder)


async def serve_until(stopped: asyncio.Event, listener: socket.socket, folder: Path) -> None:
    """Answer on an open socket until an event is set.

    Args:
        stopped: Ends it.
        listener: Is closed at the end.
        folder: Has the ports of the processes.
    """

    async def answer(path: str, accept: str) -> Answer:
        match path:
            case "/metrics":
                return await _metrics(folder, accept)
            case "/healthz":
                return Answer(200, b'{"status":"ok"}\n')
            case _:
                return Answer(404, b'{"detail":"Here is /metrics, of all processes of this instance."}\n')

    server = await serve(listener, answer)
    try:
        await stopped.wait()
    finally:
        server.close()


async def _metrics(folder: Path, accept: str) -> Answer:
    ports = _ports(folder)
    asked = await asyncio.gather(*map(_page, ports.values()))
    pages = {name: page for name, page in zip(ports, asked, strict=True) if page is not None}
    if not pages:
        return Answer(503, _NOBODY)
    page = merged_page(pages, accept)
    return Answer(200, page.content, page.media_type)


def _ports(folder: Path) -> dict[str, int]:
    """Return the ports by the names of their processes. A process may be about to write its file, or to remove it."""
    found: dict[str, int] = {}
    for file in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            found[file.stem] = int(file.read_text())
        except (OSError, ValueError):
            continue
    return found


async def _page(port: int) -> str | None:
    """Return the page of a process; None without one: the process may have ended."""
    try:
        async with asyncio.timeout(_SECONDS):
            reader, writer = await asyncio.open_connection(_LOOPBACK, port)
            try:
                writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain\r\n\r\n")
                head, _, page = (await _read(reader)).partition(b"\r\n\r\n")
                text = page.decode()
            finally:
                writer.transport.abort()
    except (OSError, OverflowError, ValueError, TimeoutError):
        return None
    return text if head.startswith(b"HTTP/1.1 200 ") and is_page(text) else None


async def _read(reader: asyncio.StreamReader) -> bytes:
    """Read to the end of the connection.

    Raises:
        ValueError: Whoever has the port of a process that has ended sends more than a page.
    """
    data = b""
    while more := await reader.read(1 << 16):
        data += more
        if len(data) > _MAX_BYTES:
            raise ValueError("this is no page of ours")
    return data


if __name__ == "__main__":
    sys.exit(main())
