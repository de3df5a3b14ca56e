"""The whole service for a test: ``stack``, shared by the tests of a file, and ``open_stack`` for one of its own.

Tests of a file keep apart by their thread ids. See ``tests/support/stack.py``.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.limits import HUNG_SECONDS
from tests.support.scratch_databases import ScratchDatabases
from tests.support.stack import SECRET, DemoModel, OpenStack, Stack, Web, bundled_profile, merged, serving

from agentroute import readiness
from agentroute.demo.model import create_demo_app
from core.config import Settings


@pytest.fixture(scope="module", autouse=True)
def _readiness_is_patient() -> Iterator[None]:
    """What ``/readyz`` shall find here answers, on a machine that may be busy: slow is no outage."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_LOOK_SECONDS", "_REDIS_SECONDS"):
            patch.setattr(readiness, name, HUNG_SECONDS)
        yield


@pytest.fixture(scope="module")
async def demo() -> AsyncIterator[DemoModel]:
    """The scripted model on a socket, fast; remembers what it was asked."""
    requests: list[dict[str, Any]] = []
    app = create_demo_app(delay_seconds=0.001, recorder=lambda _route, body: requests.append(body))
    async with serving(app, lifespan=False) as url:
        yield DemoModel(f"{url}/v1", requests)


@pytest.fixture(scope="module")
async def web() -> AsyncIterator[Web]:
    """A web site that the tool ``fetch_url`` may reach."""
    web = Web()
    async with serving(web, lifespan=False) as web.url:
        yield web


@pytest.fixture(scope="module")
def open_stack(databases: ScratchDatabases, redis_server_url: str, demo: DemoModel, web: Web) -> OpenStack:
    """Return the way to open a stack of a test's own."""
    prefixes = itertools.count(1)

    @asynccontextmanager
    async def open_stack(
        *,
        apis: int = 1,
        workers: int = 1,
        database_url: str | None = None,
        redis_url: str | None = None,
        **sections: Any,
    ) -> AsyncIterator[Stack]:
        with ExitStack() as stores:
            database_url = database_url or stores.enter_context(databases.migrated())
            settings = Settings.model_validate(
                {
                    # Everything runs in one process here, on a machine that may be busy: slow is no outage.
                    "database": {
                        "url": database_url,
                        "pool_timeout_seconds": HUNG_SECONDS,
                        "statement_timeout_seconds": HUNG_SECONDS,
                        "lock_timeout_seconds": HUNG_SECONDS,
                    },
                    "redis": {
                        "url": redis_url or redis_server_url,
                        "key_prefix": f"stack-{time.time_ns()}-{next(prefixes)}",
                    },
                    # No second tries: the demo model fails on purpose, and then always.
                    "model": {"base_url": demo.url, "name": "demo", "max_retries": 0},
                    "tools": {"fetch_allow_hosts": [web.host]},
                    "identity": {"jwt_secret": SECRET},
                }
            )
            stack = Stack(merged(settings, sections), demo)
            try:
                for _ in range(workers):
                    await stack.start_worker()
                for _ in range(apis):
                    await stack.start_api()
                yield stack
            finally:
                await stack.close()

    return open_stack


@pytest.fixture(scope="session")
def with_intent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The profile that ships, with the intent stage: each run of it makes one more call."""
    profile = tmp_path_factory.mktemp("with-intent") / "agent.toml"
    profile.write_text(bundled_profile().replace('intent = "off"', 'intent = "model"'))
    return profile


@pytest.fixture(scope="module")
async def stack(open_stack: OpenStack) -> AsyncIterator[Stack]:
    """One API process and one worker, shared by the tests of a file."""
    async with open_stack() as stack:
        yield stack
