"""Preflight checks without a server: what is missing is named, with what to do, and no secret is shown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis
from tests.support.limits import HUNG_SECONDS

from agentroute import preflight, redis_check
from agentroute.check_result import CheckResult
from agentroute.preflight import check_migrations, check_model, check_postgres
from agentroute.redis_check import check_redis
from core.config import RedisSettings, Settings
from core.redis_client import create_redis

_Check = Callable[[Settings], Awaitable[CheckResult]]


class _ModelServer(BaseHTTPRequestHandler):
    """Answers ``/<status>/models`` with that status, and lists one model to who has the key, or at ``/open``."""

    def do_GET(self) -> None:
        first = self.path.split("/")[1]
        status = 200 if first == "open" else int(first)
        known = first == "open" or self.headers["Authorization"] == "Bearer key"
        body = b'{"data": [{"id": "gpt"}]}' if known else b"{}"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Keep the test's output clean."""


@pytest.fixture(scope="module")
def model_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _ModelServer) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def _settings(**sections: dict[str, str]) -> Settings:
    return Settings.model_validate(sections)


@pytest.mark.parametrize(
    ("check", "variable"),
    [
        (check_postgres, "AGENT_DATABASE__URL"),
        (check_migrations, "AGENT_DATABASE__URL"),
        (check_redis, "AGENT_REDIS__URL"),
        (check_model, "AGENT_MODEL__BASE_URL"),
    ],
)
async def test_a_missing_url_names_its_variable(check: _Check, variable: str) -> None:
    result = await check(Settings())

    assert not result.ok
    assert variable in result.line


@pytest.mark.parametrize(
    ("check", "settings", "found"),
    [
        (check_postgres, {"database": {"url": "postgresql://u:hush@127.0.0.1:1/n"}}, "127.0.0.1:1 does not answer"),
        (check_postgres, {"database": {"url": "postgresql://u:hush@/n?host=/nowhere"}}, "the unix socket does not answer"),
        (check_postgres, {"database": {"url": "hush"}}, "AGENT_DATABASE__URL is not a URL of Postgres"),
        (check_postgres, {"database": {"url": "postgresql://u:hush@host:port/n"}}, "AGENT_DATABASE__URL is not a URL of Postgres"),
        (check_migrations, {"database": {"url": "postgresql://u:hush@127.0.0.1:1/n"}}, "the database cannot be read"),
        (check_redis, {"redis": {"url": "redis://:hush@127.0.0.1:1/0"}}, "127.0.0.1:1 does not answer"),
        (check_redis, {"redis": {"url": "unix:///no/where?password=hush"}}, "/no/where does not answer"),
        (check_model, {"model": {"base_url": "http://127.0.0.1:1/v1", "api_key": "hush"}}, "127.0.0.1:1 does not answer"),
    ],
)  # fmt: skip
async def test_what_is_not_there_is_named_without_secrets(
    check: _Check, settings: dict[str, dict[str, str]], found: str
) -> None:
    result = await check(_settings(**settings))

    assert not result.ok
    assert result.found.startswith(found)
    assert result.fix
    assert "hush" not in result.line


def test_what_else_postgres_says_is_passed_on() -> None:
    settings = _settings(database={"url": "postgresql://u:hush@host/n"})

    found, fix = preflight._postgres_problem(asyncpg.TooManyConnectionsError("too many clients"), settings)

    assert found == "host refuses: too many clients"
    assert fix


@pytest.mark.parametrize(
    ("path", "key", "name", "ok", "line"),
    [
        ("200", "key", "gpt", True, "model gpt"),
        ("200", "", "anything", True, "model anything"),
        ("200", "key", "other", False, "has no model 'other'. Set AGENT_MODEL__NAME to one of: gpt."),
        ("401", "", "gpt", False, "refuses the key (401). Set AGENT_MODEL__API_KEY."),
        ("404", "key", "gpt", False, "has no /models (404). AGENT_MODEL__BASE_URL must end with the version"),
        ("503", "key", "gpt", False, "fails (503)"),
    ],
)
async def test_the_model_endpoint_is_judged(
    model_url: str, path: str, key: str, name: str, ok: bool, line: str
) -> None:
    model = {"base_url": f"{model_url}/{path}", "api_key": key, "name": name}

    result = await check_model(_settings(model=model))

    assert result.ok is ok
    assert line in result.line


@pytest.mark.parametrize(
    ("info", "ok"),
    [
        ({"redis_version": "6.2.14", "maxmemory_policy": "noeviction"}, True),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2", "maxmemory_policy": "volatile-lru"}, True),
        ({"redis_version": "6.0.16", "maxmemory_policy": "noeviction"}, False),
        ({"redis_version": "10.0.0", "maxmemory_policy": "allkeys-lru"}, False),
        ({"redis_version": "10.0.0"}, True),
    ],
)
def test_redis_must_be_new_enough_and_evict_nothing(info: dict[str, Any], ok: bool) -> None:
    assert redis_check.judge(info).ok is ok


async def test_a_local_model_server_is_found(model_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = ("http://127.0.0.1:1/v1", f"{model_url}/404", f"{model_url}/200", f"{model_url}/open")
    monkeypatch.setattr(preflight, "_LOCAL_MODELS", {url: url for url in urls})
    monkeypatch.setattr(preflight, "_LOCAL_TIMEOUT_SECONDS", HUNG_SECONDS)

    assert await preflight.find_local_models() == [f"{model_url}/open"]


async def test_redis_is_given_as_long_as_postgres(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands of a running service have less time; a machine that has just started is slow."""
    asked: list[float] = []

    def away(settings: RedisSettings) -> Redis:
        asked.append(settings.command_timeout_seconds)
        return create_redis(settings)

    monkeypatch.setattr(redis_check, "create_redis", away)
    url = {"url": "redis://127.0.0.1:1/0", "command_timeout_seconds": 0.1}

    assert not (await check_redis(Settings.model_validate({"redis": url}))).ok
    assert asked == [preflight.TIMEOUT_SECONDS]
