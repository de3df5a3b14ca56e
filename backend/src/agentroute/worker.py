"""The worker process: executes runs until a stop signal, then drains.

One event loop executes all runs; the heartbeat has a thread of its own.
SIGTERM or SIGINT begins the drain; a second one ends the process at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import structlog
import uvloop
from sqlalchemy.ext.asyncio import AsyncEngine
from taskiq.receiver import Receiver

from agentroute.background_loops import BackgroundLoops
from agentroute.metrics.loop_watch import EXIT_CODE, LoopWatch
from agentroute.metrics.opening import open_metrics, pool_reading, refusal
from agentroute.schedules import open_firer
from agentroute.start_checks import WORKER_CHECKS, first_failure, warn_of_shadowed_packages
from agentroute.tracing.opening import open_tracing
from agentroute.user_access import open_user_access
from agentroute.webhook_loop import open_webhooks
from core.agentscope.events.append_store import PostgresAppendStore
from core.agentscope.events.append_writer import GroupCommitWriter
from core.agentscope.events.ledger.ledger import CallLines
from core.agentscope.events.redis_bus import RedisBus
from core.agentscope.events.usual_end import end_usually
from core.agentscope.runtime.accept.threads import AgentThreads
from core.agentscope.runtime.agent.agent_kits import build_kits, open_kits, open_toolsets
from core.agentscope.runtime.agent.factory.opening import FactoryOpener, open_model_client
from core.agentscope.runtime.agent.titles import TitleWriter
from core.agentscope.runtime.hints import HintSender
from core.agentscope.runtime.model.prices import PricesInvalid
from core.agentscope.runtime.profile.agents import Agents, load_agents
from core.agentscope.runtime.profile.fallbacks import open_fallbacks
from core.agentscope.runtime.profile.profile_errors import ProfileInvalid
from core.agentscope.runtime.work.cancel_listener import listen_for_cancels
from core.agentscope.runtime.work.chores import Turns
from core.agentscope.runtime.work.executor import RunExecutor
from core.agentscope.runtime.work.file_chore import FileChore
from core.agentscope.runtime.work.keep_chore import KeepChore
from core.agentscope.runtime.work.leases import Heartbeat, Leases
from core.agentscope.runtime.work.reaper import Reaper
from core.agentscope.runtime.work.run_ending import RunEnding
from core.agentscope.runtime.work.run_scope import RunServices
from core.agentscope.runtime.work.run_watch import RunWatch
from core.agentscope.runtime.work.tasks import register_run_task
from core.agentscope.tools.errors import ToolDefinitionError
from core.agentscope.tools.mcp.toolset import McpConnections
from core.agentscope.tools.memory_store import PostgresMemoryStore
from core.broker import HintBroker, create_broker
from core.config import Settings, WorkerSettings, unknown_variables
from core.database import create_engine, create_session_factory
from core.files.opening import open_files
from core.identity import Principal
from core.log import configure_logging
from core.metrics.catalogue import HUNG_RUNS, LOOP_STALL, POOL_CONNECTIONS, WORKER_RUNS, WORKER_SLOTS
from core.metrics.instruments import Gauge
from core.metrics.readings import LiveReadings, Reading
from core.redis_client import create_redis

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Worker:
    """The open parts of a worker process."""

    executor: RunExecutor
    broker: HintBroker
    live: LiveReadings | None = None
    """What it knows of itself."""


def run_worker(
    settings: Settings,
    *,
    worker_id: str = "",
    wait_seconds: float = 0.0,
    on_ready: Callable[[], object] | None = None,
    on_drain: Callable[[int], object] | None = None,
) -> int:
    """Execute runs until SIGTERM or SIGINT.

    Args:
        settings: Of the process.
        worker_id: As in :func:`open_worker`.
        wait_seconds: How long to wait for Postgres, its schema and Redis.
        on_ready: Called when the process can execute runs, and before it can claim the first one: the parent of a
            process that never was ready knows that there is nothing to repair.
        on_drain: Called with the number of runs that go on, when the process begins no run any more.

    Returns:
        0 after an orderly stop, 1 when the process could not start; the reason is
        then one line on standard error.
    """
    configure_logging(settings)
    if unknown := unknown_variables():
        log.warning("unknown_settings", variables=unknown)
    warn_of_shadowed_packages()
    try:
        # Around the event loop: the last spans are sent when nothing waits for it any more.
        with open_tracing(settings.traces, "agentroute-worker"):
            return uvloop.run(_main(settings, worker_id, wait_seconds, on_ready, on_drain))
    except (ProfileInvalid, PricesInvalid, ToolDefinitionError, ValueError) as exc:
        return _refuse(str(exc))


async def _main(
    settings: Settings,
    worker_id: str,
    wait_seconds: float,
    on_ready: Callable[[], object] | None,
    on_drain: Callable[[int], object] | None = None,
) -> int:
    if failed := await first_failure(settings, WORKER_CHECKS, wait_seconds=wait_seconds):
        return _refuse(failed.line, failed.exit_code)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    start = _Start()

    def stop() -> None:
        if stopped.is_set():
            os._exit(130)
        stopped.set()
        start.give_up()

    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop)
    broken = False

    def give_up() -> None:
        nonlocal broken
        broken = True
        stopped.set()

    opened: list[Worker] = []
    async with AsyncExitStack() as stack:
        if settings.metrics.port is not None:
            try:
                stack.enter_context(
                    open_metrics(settings, "worker", lambda: opened[0].live if opened else None)
                )
            except OSError as exc:
                return _refuse(refusal(settings.metrics, exc))
        opening = open_worker(
            settings,
            worker_id=worker_id,
            on_broken=give_up,
            stall_seconds=settings.worker.stall_seconds,
        )
        worker = await start.unless_given_up(stack.enter_async_context(opening))
        if worker is None:
            log.info("worker_stopped_before_it_was_ready")
            return 0
        opened.append(worker)
        finish = asyncio.Event()
        log.info("worker_ready", concurrency=settings.worker.concurrency)
        # No await between the start of the loops and this call: no loop has had a turn yet.
        if on_ready is not None:
            on_ready()
        listening = asyncio.create_task(_listen(worker, settings, finish))
        listening.add_done_callback(partial(_hints_ended, finish, give_up))
        await stopped.wait()
        log.info("worker_drains", grace_seconds=settings.worker.drain_seconds)
        finish.set()
        # No await before the executor takes no more runs.
        if on_drain is not None:
            on_drain(worker.executor.running)
        await worker.executor.drain(settings.worker.drain_seconds)
        if hung := worker.executor.running:
            # Nothing ends them: neither a cancellation nor the end of the event loop, which would wait for them.
            log.critical("worker_leaves_hung_runs", runs=hung)
            leave(EXIT_CODE)
        listening.cancel()
        await asyncio.wait({listening}, timeout=3)
    return 1 if broken else 0


class _Start:
    """The start of a worker. It may take long: the code of agents is run. A stop signal does not wait for it."""

    def __init__(self) -> None:
        self._limit: asyncio.Timeout | None = None

    def give_up(self) -> None:
        """Cancel the start, if it is under way."""
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def unless_given_up(self, opening: Awaitable[Worker]) -> Worker | None:
        """Return the open worker; ``None`` if it was given up."""
        limit = self._limit = asyncio.timeout(None)
        try:
            async with limit:
                return await opening
        except TimeoutError:
            if not limit.expired():
                raise
            return None
        finally:
            self._limit = None


def _hints_ended(finish: asyncio.Event, give_up: Callable[[], None], listening: asyncio.Task[None]) -> None:
    """Give up if no more hints are taken before the process drains: it would live on and begin no run."""
    if not finish.is_set() and not listening.cancelled():
        log.critical("background_loop_ended", loop="hints", exc_info=listening.exception())
        give_up()


async def _listen(worker: Worker, settings: Settings, finish: asyncio.Event) -> None:
    """Take hints while there is room for runs, until ``finish`` is set.

    Taskiq executes its tasks, and the worker takes the hints from the queue by itself: Taskiq's intake takes three turns
    of the event loop for each, one hint after the other, and a turn is long while many runs begin. See docs/adr/0035.
    """
    # The executor limits the runs. The number here has no effect without Taskiq's intake: its absence costs a warning.
    receiver = Receiver(
        worker.broker, max_async_tasks=settings.worker.concurrency, run_startup=False, validate_params=False
    )
    tasks: set[asyncio.Task[None]] = set()

    async def take() -> None:
        async for hints in worker.broker.batches(worker.executor.room):
            for hint in hints:
                task = asyncio.create_task(receiver.callback(hint))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            # The tasks begin, and take their places, before the room is looked at again.
            await asyncio.sleep(0)

    taking, finishing = asyncio.create_task(take()), asyncio.create_task(finish.wait())
    try:
        await asyncio.wait({taking, finishing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        finishing.cancel()
        taking.cancel()
    await asyncio.wait({taking})
    if not taking.cancelled():
        # Never in order: hints come for ever.
        await taking


@asynccontextmanager
async def open_worker(
    settings: Settings,
    *,
    worker_id: str = "",
    on_broken: Callable[[], None] = lambda: None,
    stall_seconds: float = 0.0,
) -> AsyncIterator[Worker]:
    """Open everything a worker needs and run its background loops while the context is open.

    Args:
        settings: Of the process.
        worker_id: The name of the process in the rows of its runs; no two processes ever have the same. If empty, a
            random name.
        on_broken: Called when a loop has ended by itself. Otherwise the process would claim runs and keep their leases,
            but never execute them. Such a process must end.
        stall_seconds: The process ends if its event loop has not answered for this time; 0 is never.

    Raises:
        ProfileInvalid, PricesInvalid, ToolDefinitionError, ValueError: A setting cannot be used.
    """
    agents = load_agents(settings.profile_path)
    async with AsyncExitStack() as resources:
        engine = create_engine(settings.database, application_name="agentroute-worker")
        resources.push_async_callback(engine.dispose)
        redis = create_redis(settings.redis, counted=True)
        resources.push_async_callback(redis.aclose, close_connection_pool=True)
        files = open_files(engine, settings.files, settings.limits)
        client = await resources.enter_async_context(
            open_model_client(settings.model, needed=agents.need_the_model)
        )
        fallbacks = await open_fallbacks(agents, settings.model, client, resources)
        memory = PostgresMemoryStore(create_session_factory(engine))
        connections = McpConnections(open_user_access(settings, engine, resources))
        resources.push_async_callback(connections.close)
        toolsets = open_toolsets(agents, connections, settings.tools)
        await connections.tried()
        kits = build_kits(agents, settings, client, memory, fallbacks, toolsets)
        kits = await open_kits(kits, agents, FactoryOpener(resources))
        broker = create_broker(settings.redis)
        await broker.startup()
        resources.push_async_callback(broker.shutdown)
        bus = RedisBus(redis, settings.redis)
        store = PostgresAppendStore(settings.database, lease_seconds=settings.worker.lease_seconds)
        resources.push_async_callback(store.close)
        writer = GroupCommitWriter(store, bus, settings.worker)
        heartbeat = _beating(settings, resources)
        hints = HintSender(broker, redis, settings.redis)
        ending = RunEnding(
            engine,
            bus,
            hint=lambda run: hints.send(run.run_pk, run.task_id),
            outage_seconds=settings.worker.outage_seconds,
            agent=agents.name_of,
            end_usually=partial(end_usually, engine),
        )
        titles = TitleWriter(kits, engine)
        contents = None if files is None else files.contents()
        services = RunServices(
            kits, engine, CallLines(engine), heartbeat, writer, ending, titles, settings, contents
        )
        executor = RunExecutor(Leases(engine, settings, worker_id or _worker_id(), kits.clock), services)
        register_run_task(broker, executor)
        turns = Turns(engine, redis, settings.redis)
        reaper = _reaper(engine, hints, bus, settings, executor, agents, turns)
        webhooks = await open_webhooks(settings, engine, turns)

        loops = BackgroundLoops(on_broken)
        # Closed before the connections, so that the last events are sent.
        resources.push_async_callback(loops.close)
        loops.start("reaper", reaper.run())
        if files is not None:
            loops.start("files", FileChore(turns, files).run())
        _start_turns(loops, turns, settings, engine, AgentThreads(engine, hints, bus, bus, files=files))
        loops.start("webhooks", webhooks.run(), close=webhooks.close)
        open_firer(settings, engine, redis, hints, bus, agents, files, loops, turns)
        loops.start("cancels", listen_for_cancels(redis, settings.redis, executor.cancel))
        loops.start("writer", writer.run(), close=writer.close)
        loops.start("bus", bus.run(), close=bus.close)
        loops.start("runs", _run_watch(executor, heartbeat, settings.worker).run())
        yield Worker(executor, broker, _readings(executor, engine, settings, resources, stall_seconds))


def _beating(settings: Settings, resources: AsyncExitStack) -> Heartbeat:
    heartbeat = Heartbeat(settings)
    heartbeat.start()
    resources.callback(heartbeat.stop)
    return heartbeat


def _reaper(
    engine: AsyncEngine,
    hints: HintSender,
    bus: RedisBus,
    settings: Settings,
    executor: RunExecutor,
    agents: Agents,
    turns: Turns,
) -> Reaper:
    def start_run(run_pk: int, principal: Principal) -> bool:
        return executor.start(run_pk, principal) is not None

    return Reaper(engine, hints, bus, settings, start_run=start_run, agent=agents.name_of, turns=turns)


def _start_turns(
    loops: BackgroundLoops, turns: Turns, settings: Settings, engine: AsyncEngine, threads: AgentThreads
) -> None:
    loops.start("keep", KeepChore(engine, turns, settings.worker, threads.delete_idle).run())
    loops.start("turns", turns.run())


def _run_watch(executor: RunExecutor, heartbeat: Heartbeat, settings: WorkerSettings) -> RunWatch:
    return RunWatch(
        executor, heartbeat, places=settings.concurrency, patience_seconds=settings.outage_seconds
    )


def _readings(
    executor: RunExecutor,
    engine: AsyncEngine,
    settings: Settings,
    resources: AsyncExitStack,
    stall_seconds: float,
) -> LiveReadings:
    watch = LoopWatch(give_up_seconds=stall_seconds)
    watch.start()
    resources.callback(watch.stop)
    gauges: dict[Gauge, Reading] = {
        WORKER_RUNS: lambda: executor.running,
        WORKER_SLOTS: lambda: settings.worker.concurrency,
        HUNG_RUNS: lambda: len(executor.hung()),
        LOOP_STALL: lambda: watch.stalled_seconds,
        POOL_CONNECTIONS: pool_reading(engine),
    }
    return LiveReadings(asyncio.get_running_loop(), gauges)


def leave(code: int) -> None:
    """End the process at once."""
    os._exit(code)


def _worker_id() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def _refuse(line: str, exit_code: int = 1) -> int:
    print(f"error: {line}", file=sys.stderr)
    return exit_code
