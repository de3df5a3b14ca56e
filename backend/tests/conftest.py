"""Real servers for the tests: one Postgres and one Redis-protocol server a session, started when first asked for.

Unit tests ask for none. ``TEST_DATABASE_URL`` and ``TEST_REDIS_URL`` name servers
to use instead of the bundled ones (their user must be allowed to create
databases; the Redis database is flushed); ``TEST_REDIS`` names a
``redis-server`` program to start instead of Valkey, ``TEST_POSTGRES`` a directory
with ``postgres`` and ``initdb`` to start instead of the bundled ones.
"""

from __future__ import annotations

import gc
import os
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import redis
import structlog
from httpx._config import DEFAULT_TIMEOUT_CONFIG
from hypothesis import HealthCheck, settings
from tests.support.command_server import command_server
from tests.support.folder_scheduling import FolderScheduling
from tests.support.limits import HUNG_SECONDS
from tests.support.loggers import loggers_kept
from tests.support.ports import reserved_port
from tests.support.scratch_databases import ScratchDatabases
from xdist.remote import Producer

from agentroute.embedded.local_postgres import LocalPostgres
from agentroute.embedded.local_valkey import LocalValkey

# Property tests draw the same examples in every run: a build is not a lottery. HYPOTHESIS_PROFILE=explore draws new ones,
# to look for what nobody has thought of. No deadline an example: it would judge the machine.
settings.register_profile(
    "same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# A shell makes what it runs in the background deaf to Ctrl-C, and so would be every program that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# httpx gives up after 5 s, which a busy machine needs now and then. A test that wants less says so.
for _step in ("connect", "read", "write", "pool"):
    setattr(DEFAULT_TIMEOUT_CONFIG, _step, HUNG_SECONDS)

# The default also draws every variable of every frame, which takes up to ten seconds an exception.
structlog.dev.ConsoleRenderer.get_active().exception_formatter = structlog.dev.plain_traceback


@pytest.hookimpl
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FolderScheduling | None:
    """Share out the files of ``--dist loadfile``; some folders as a whole."""
    return FolderScheduling(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Search for no garbage among modules and tests, which stay: a third of the time of the collection, and more later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Give the process its loggers back after each test: commands of operators, called in a test, configure them."""
    with loggers_kept():
        return (yield)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_shell() -> Iterator[None]:
    """Hide the developer's own ``AGENT_*`` variables: a test sets what it needs."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AGENT_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def server_dir() -> Iterator[Path]:
    """A directory for servers, with a path short enough for unix sockets."""
    with tempfile.TemporaryDirectory(prefix="agentroute-") as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def programs() -> Iterator[Path]:
    """A folder with an ``agentroute`` whose short commands need no import of AgentScope: see ``command_server``."""
    with (
        tempfile.TemporaryDirectory(prefix="agentroute-") as folder,
        command_server(Path(folder)) as programs,
    ):
        yield programs


@pytest.fixture(scope="session")
def postgres_url(server_dir: Path) -> Iterator[str]:
    """The Postgres of the session. Tests want ``database_url``: a database of their own on it."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield url
        return
    # fsync off: what a killed process wrote is kept all the same, and a test machine may lose the rest.
    small = {"shared_buffers": "32MB", "fsync": "off", "full_page_writes": "off"}
    programs = os.environ.get("TEST_POSTGRES")
    if not programs:
        small["io_method"] = "sync"  # since Postgres 18
    directory = Path(programs) if programs else None
    with LocalPostgres(server_dir / "postgres", settings=small, binaries=directory) as server:
        yield server.url


@pytest.fixture(scope="session")
def databases(postgres_url: str) -> Iterator[ScratchDatabases]:
    with ScratchDatabases(postgres_url) as databases:
        yield databases


@pytest.fixture
def database_url(databases: ScratchDatabases) -> Iterator[str]:
    """``postgresql://`` URL of a migrated, empty database of this test alone.

    Recycled by emptying its tables; a test that changes the schema may, and
    its database is then dropped.
    """
    with databases.migrated() as url:
        yield url


@pytest.fixture
def blank_database_url(databases: ScratchDatabases) -> Iterator[str]:
    """``postgresql://`` URL of a database without any table, for tests of migrations."""
    with databases.blank() as url:
        yield url


@pytest.fixture(scope="session")
def redis_server_url(server_dir: Path) -> Iterator[str]:
    """The Redis-protocol server of the session. Tests want ``redis_url``: the same, emptied."""
    if url := os.environ.get("TEST_REDIS_URL"):
        yield url
        return
    program = os.environ.get("TEST_REDIS")
    with LocalValkey(server_dir / "redis", program=Path(program) if program else None) as server:
        yield server.url


@pytest.fixture
def redis_url(redis_server_url: str) -> str:
    """URL of a running server whose database is empty when the test starts."""
    with redis.Redis.from_url(redis_server_url) as client:
        client.flushdb()
    return redis_server_url


@pytest.fixture
def local_postgres(tmp_path: Path) -> Iterator[LocalPostgres]:
    """A Postgres of this test alone, not started: to stop, kill and restart."""
    server = LocalPostgres(tmp_path / "postgres", port=reserved_port())
    yield server
    server.stop()


@pytest.fixture
def local_valkey(tmp_path: Path) -> Iterator[LocalValkey]:
    """A Valkey of this test alone, not started: to stop, kill and restart."""
    server = LocalValkey(tmp_path / "valkey", port=reserved_port())
    yield server
    server.stop()
