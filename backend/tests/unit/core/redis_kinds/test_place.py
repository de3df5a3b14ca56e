"""The forms of AGENT_REDIS__URL, and what is said of every other one."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from core.config import RedisSettings
from core.redis_kinds.place import RedisPlace, read_place


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://:pw@h:1/2?protocol=3", RedisPlace("single", "redis://:pw@h:1/2?protocol=3")),
        ("unix:///a/b.sock?db=0", RedisPlace("single", "unix:///a/b.sock?db=0")),
        (
            "redis+sentinel://u:p%40w@a,b:7/main",
            RedisPlace("sentinel", "redis://u:p%40w@server/0", (("a", 26379), ("b", 7)), "main"),
        ),
        (
            "rediss+sentinel://[::1]:5,[fe80::1]/m%2Fn/3?ssl_ca_certs=/ca.pem",
            RedisPlace("sentinel", "rediss://server/3?ssl_ca_certs=/ca.pem", (("::1", 5), ("fe80::1", 26379)), "m/n"),
        ),
        ("redis+cluster://a", RedisPlace("cluster", "redis://server/0", (("a", 6379),))),
        (
            "REDISS+CLUSTER://:p@a:1,b:2/0",
            RedisPlace("cluster", "rediss://:p@server/0", (("a", 1), ("b", 2))),
        ),
    ],
)  # fmt: skip
def test_a_url_is_read(url: str, place: RedisPlace) -> None:
    assert read_place(url) == place


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("hush", "is not a URL of Redis; write one of: redis://"),
        ("http://hush", "is not a URL of Redis"),
        ("redis+sentinel://:hush@a:1", "must name the service"),
        ("redis+sentinel://:hush@a:1/main/first", "only the number of a database"),
        ("redis+sentinel://:hush@a:1/main/0/1", "only the number of a database"),
        ("redis+sentinel://:hush@/main", "must be like redis+…"),
        ("redis+sentinel://:hush@a:1,,b/main", "must be like redis+…"),
        ("redis+sentinel://a:hush@b:1,c:hush@d:2/main", "must be like redis+…"),
        ("redis+cluster://:hush@a:70000", "from 1 to 65535"),
        ("redis+cluster://:hush@a:port", "must be like redis+…"),
        ("redis+cluster://:hush@a/1", "only the database 0"),
        ("redis+cluster://:hu#sh@a", "has a #"),
    ],
)
def test_any_other_url_is_refused_without_its_secrets(url: str, why: str) -> None:
    with pytest.raises(ValidationError) as caught:
        RedisSettings.model_validate({"url": url})

    (problem,) = caught.value.errors()
    assert problem["msg"].removeprefix("Value error, ").startswith("AGENT_REDIS__")
    assert why in problem["msg"]
    assert "hush" not in problem["msg"]


@pytest.mark.parametrize("member", ["sentinel_username", "sentinel_password"])
@pytest.mark.parametrize("url", ["", "redis://h", "redis+cluster://h"])
def test_credentials_of_sentinels_need_sentinels(url: str, member: str) -> None:
    with pytest.raises(ValidationError, match="AGENT_REDIS__SENTINEL_USERNAME and …_PASSWORD need"):
        RedisSettings.model_validate({"url": url, member: "x"})


def test_names_of_threads_are_those_of_other_versions_except_in_a_cluster() -> None:
    names = [
        RedisSettings.model_validate({"url": url, "key_prefix": "p"}).key("bell", 7)
        for url in (
            "redis://h",
            "unix:///h",
            "redis+sentinel://h/main",
            "redis+cluster://h",
            "rediss+cluster://h",
        )
    ]

    assert names == ["p:bell:7"] * 3 + ["p:bell:{7}"] * 2
