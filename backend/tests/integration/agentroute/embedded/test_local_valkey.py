"""What only Valkey promises: its policy, its password, and other programs in its place."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from agentroute.embedded.local_valkey import LocalValkey


def _config(url: str, name: str) -> str:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        return cast("dict[str, Any]", client.config_get(name))[name]


def test_it_keeps_an_append_only_log_and_never_evicts(local_valkey: LocalValkey) -> None:
    url = local_valkey.start()

    assert _config(url, "appendonly") == "yes"
    assert _config(url, "appendfsync") == "everysec"
    assert _config(url, "maxmemory-policy") == "noeviction"


def test_tcp_asks_for_the_password(local_valkey: LocalValkey) -> None:
    local_valkey.start()

    with (
        redis.Redis(port=local_valkey.port or 0, retry=Retry(NoBackoff(), 0)) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_a_redis_server_may_take_its_place(tmp_path: Path) -> None:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server on PATH")

    with (
        LocalValkey(tmp_path / "redis", program=Path(program)) as server,
        redis.Redis.from_url(server.url) as client,
    ):
        assert client.ping()
