"""The API process: checks its requirements, serves, and drains after a signal.

uvicorn alone waits for open streams without a limit. Here the signal first sets the drain flag. Then every stream ends
by itself, its client reconnects with a cursor, and the process ends well within its grace period.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import resource
import signal
import socket
import sys
from functools import partial
from types import FrameType
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI

from agentroute.app import create_app
from agentroute.http_protocol import BoundedProtocol, Connections
from agentroute.metrics.opening import open_metrics, refusal
from agentroute.start_checks import SERVE_CHECKS, first_failure, warn_of_shadowed_packages
from agentroute.tracing.opening import open_tracing
from core.config import Settings, unknown_variables
from core.log import configure_logging
from core.metrics.readings import LiveReadings
from v1.agent.container import ApiContainer
from v1.agent.event_stream import WRITE_TIMEOUT_SECONDS

log = structlog.get_logger(__name__)
_BACKLOG = 2048
_OTHER_FILES = 256
"""Files that are not connections of clients: Postgres, Redis, uploads, logs."""
_TICKS_PER_SECOND = 10  # uvicorn's


class DrainingServer(uvicorn.Server):
    """A server whose open streams end as soon as it is told to stop."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, connections: Connections) -> None:
        super().__init__(config)
        self._app = app
        self._connections = connections
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            log.info("listening", host=host, port=port)

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS_PER_SECOND == 0:
            self._connections.sweep(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; a second SIGINT stops waiting.

        Does not keep the signal: uvicorn raises kept ones again after a clean
        shutdown, and the process would report death by signal.
        """
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True
        container = getattr(self._app.state, "container", None)
        if container is not None and self._loop is not None:
            # Runs in a signal handler: only this call may be made from there, and it wakes the loop.
            self._loop.call_soon_threadsafe(container.drain.set)


def run_server(settings: Settings, *, wait_seconds: float = 0.0, supervisor: int | None = None) -> int:
    """Serve until SIGTERM or SIGINT.

    The process serves only after it has checked Postgres, the migrations and Redis. It survives their later loss.

    Args:
        settings: Of the process.
        wait_seconds: How long to wait for these three.
        supervisor: In embedded mode, the descriptor of the line to the supervisor.

    Returns:
        0 after an orderly stop, 1 if a requirement is missing, 2 if the settings exclude each other. The reason is
        then one line on standard error.
    """
    configure_logging(settings)
    # 1 ms instead of 5: how long the event loop waits for the thread that parses a large body, each time.
    sys.setswitchinterval(0.001)
    if unknown := unknown_variables():
        log.warning("unknown_settings", variables=unknown)
    warn_of_shadowed_packages()
    if failed := asyncio.run(first_failure(settings, SERVE_CHECKS, wait_seconds=wait_seconds)):
        return _refuse(failed.line, failed.exit_code)
    with contextlib.ExitStack() as opened:
        listeners: list[socket.socket] = []
        for host, port in settings.server.addresses:
            try:
                listeners.append(opened.enter_context(listen(host, port)))
            except OSError as exc:
                return _refuse(f"Cannot listen on {host}:{port}: {exc.strerror or exc}.")
        app = create_app(settings, supervisor=supervisor)
        if settings.metrics.port is not None:
            try:
                opened.enter_context(open_metrics(settings, "api", lambda: _live(app)))
            except OSError as exc:
                return _refuse(refusal(settings.metrics, exc))
        opened.enter_context(open_tracing(settings.traces, "agentroute-api"))
        return serve(app, settings, *listeners)


def _live(app: FastAPI) -> LiveReadings | None:
    container: ApiContainer | None = app.state.container
    return None if container is None else container.live


def serve(app: FastAPI, settings: Settings, *listeners: socket.socket) -> int:
    """Serve an application on open sockets until SIGTERM or SIGINT. Returns as :func:`run_server`."""
    connections = Connections(connection_limit(settings.server.max_connections))
    protocol: Any = partial(BoundedProtocol, connections=connections)
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="on",
        log_config=None,  # core.log has routed uvicorn's loggers
        access_log=False,  # one line a request comes from HttpContext, without the query
        server_header=False,
        # A header of anybody would otherwise say who calls, and whether by https. Nothing of ours asks a proxy that.
        proxy_headers=False,
        timeout_graceful_shutdown=math.ceil(settings.server.drain_seconds),
    )
    try:
        DrainingServer(config, app, connections).run(sockets=list(listeners))
    except SystemExit:
        # uvicorn's way to say that the lifespan failed; it has logged why.
        return _refuse("The service could not start; the log above says why.")
    return 0


def connection_limit(wanted: int) -> int:
    """Return how many connections the process may have open, after raising its limit of open files if necessary.

    A process without free files can accept nobody, and can reach neither Postgres nor Redis.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        # macOS refuses more than its own maximum, which is not the hard limit.
        with contextlib.suppress(ValueError, OSError):
            raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    limit = max(soft // 2, soft - _OTHER_FILES)
    log.warning("connections_limited_by_files", max_connections=limit, files=soft)
    return limit


def listen(host: str, port: int) -> socket.socket:
    """Open the listening socket; port 0 takes a free one.

    Raises:
        OSError: The address is in use, belongs to another machine, or cannot be used.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, *_, address = found[0]
    listener = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Inherited by every connection. After a stalled write the server closes, but the
        # kernel would hold what is unsent for as long as the client acknowledges nothing.
        milliseconds = int(WRITE_TIMEOUT_SECONDS * 1000)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    return listener


def _refuse(line: str, exit_code: int = 1) -> int:
    print(f"error: {line}", file=sys.stderr)
    return exit_code
