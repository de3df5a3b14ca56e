"""The port of one process for operators: ``/metrics``, ``/healthz`` and ``/readyz``. See docs/adr/0058.

Nothing here uses the event loop, the connections or the pools of the process: what is asked on this port does not slow
down a run, and is answered while the process is full or hangs.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from agentroute.metrics.exposition import Exposition, Process
from agentroute.metrics.http_port import Answer, serve
from agentroute.metrics.store_gauges import StoreFigures
from agentroute.readiness import StoreReadiness
from agentroute.readiness_report import checks
from agentroute.schema_state import schema
from core.config import Settings
from core.metrics.catalogue import LOOP_STALL
from core.metrics.instruments import Gauge
from core.metrics.readings import LiveReadings, Reading
from core.readiness import Readiness
from core.redis_client import create_redis

log = structlog.get_logger(__name__)

STALLED_SECONDS = 10.0
"""An event loop that has not answered for this long makes ``/healthz`` fail. A busy one answers within a second."""
_READY_SECONDS = 3.0
_STOP_SECONDS = 5.0


@contextmanager
def open_port(
    settings: Settings, process: Process, listener: socket.socket, live: Callable[[], LiveReadings | None]
) -> Iterator[None]:
    """Answer on an open socket while the context is open.

    Args:
        settings: Of the process.
        process: Which kind of process it is.
        listener: Is closed at the end.
        live: Returns what the process knows of itself; None while it starts or has stopped.
    """
    port = _ProcessPort(settings, process, listener, live)
    host, number = listener.getsockname()[:2]
    thread = threading.Thread(target=port.run, name="metrics", daemon=True)
    thread.start()
    log.info("metrics_listening", host=host, port=number)
    try:
        yield
    finally:
        port.stop()
        thread.join(timeout=_STOP_SECONDS)


@dataclass(slots=True)
class _Parts:
    """What belongs to the loop of the thread."""

    ready: StoreReadiness
    figures: StoreFigures | None


class _ProcessPort:
    def __init__(
        self,
        settings: Settings,
        process: Process,
        listener: socket.socket,
        live: Callable[[], LiveReadings | None],
    ) -> None:
        self._settings = settings
        self._process: Process = process
        self._listener = listener
        self._live = live
        self._exposition = Exposition(process, self._gauges)
        self._parts: _Parts | None = None
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()

    def run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        except Exception:
            # The process goes on: a supervisor that asks it finds nobody.
            log.exception("metrics_port_failed")

    def stop(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)

    async def _serve(self) -> None:
        redis = create_redis(self._settings.redis)
        ready = StoreReadiness(self._settings.database, redis, schema=schema())
        figures = StoreFigures(self._settings.database) if self._process == "api" else None
        self._parts = _Parts(ready, figures)
        server = await serve(self._listener, self._answer)
        try:
            await self._stopping.wait()
        finally:
            server.close()
            await ready.aclose()
            if figures is not None:
                await figures.aclose()
            await redis.aclose(close_connection_pool=True)

    async def _answer(self, path: str, accept: str) -> Answer:
        try:
            match path:
                case "/metrics":
                    return await self._metrics(accept)
                case "/healthz":
                    return self._health()
                case "/readyz":
                    return await self._readiness()
                case _:
                    return Answer(404, b'{"detail":"Here are /metrics, /healthz and /readyz."}\n')
        except Exception:
            log.exception("metrics_request_failed", path=path)
            return Answer(503, b'{"detail":"The log says why."}\n')

    async def _metrics(self, accept: str) -> Answer:
        parts = self._parts
        store = None if parts is None or parts.figures is None else await parts.figures.read()
        page = self._exposition.page(accept, store)
        return Answer(200, page.content, page.media_type)

    def _gauges(self) -> Mapping[Gauge, Reading]:
        live = self._live()
        return {} if live is None else live.gauges

    def _stalled_seconds(self) -> float:
        read = self._gauges().get(LOOP_STALL)
        found = 0.0 if read is None else read()
        return found if isinstance(found, float) else 0.0

    def _health(self) -> Answer:
        if (seconds := self._stalled_seconds()) >= STALLED_SECONDS:
            return _json(503, {"status": "stalled", "event_loop_stall_seconds": seconds})
        return _json(200, {"status": "ok"})

    async def _readiness(self) -> Answer:
        found = Readiness(postgres=False, migrations=False, redis=False)
        if self._parts is not None:
            try:
                async with asyncio.timeout(_READY_SECONDS):
                    found = await self._parts.ready()
            except TimeoutError:
                pass
        started = self._live() is not None
        stalled = self._stalled_seconds() >= STALLED_SECONDS
        report = checks(found) | {"event_loop": "stalled" if stalled else "ok"}
        if found.ready and started and not stalled:
            return _json(200, {"status": "ready", "checks": report})
        return _json(503, {"status": "not-ready" if started else "starting", "checks": report})


def _json(status: int, body: Mapping[str, object]) -> Answer:
    return Answer(status, json.dumps(body).encode() + b"\n")
