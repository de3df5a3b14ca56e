"""Where Redis is, as ``AGENT_REDIS__URL`` says it: one server, a primary behind Sentinels, or a Redis Cluster.

Only text is read here. A message never holds a part of the URL that may be a secret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

RedisKind = Literal["single", "sentinel", "cluster"]
Address = tuple[str, int]

FORMS = ", ".join(
    (
        "redis://host:6379/0",
        "rediss://…",
        "unix:///path",
        "redis+sentinel://host:26379,host:26379/service/0",
        "redis+cluster://host:6379,host:6379",
    )
)
_SCHEMES: dict[str, RedisKind] = {
    "redis": "single",
    "rediss": "single",
    "unix": "single",
    "redis+sentinel": "sentinel",
    "rediss+sentinel": "sentinel",
    "redis+cluster": "cluster",
    "rediss+cluster": "cluster",
}
_PORTS = {"sentinel": 26379, "cluster": 6379}
_PARTS = re.compile(r"(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?")
_ITEM = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\[\]:@,\s]+)(?::(?P<port>[0-9]+))?")


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """A read URL."""

    kind: RedisKind
    url: str
    """For redis-py: scheme, user, password, database and options. Its host counts for a single server only."""
    nodes: tuple[Address, ...] = ()
    """The Sentinels, or servers of the cluster; empty for a single server."""
    service: str = ""
    """The name by which Sentinels know the primary."""


def read_place(url: str) -> RedisPlace:
    """Read a URL.

    Raises:
        ValueError: It has none of the forms. The message begins with the name of the variable.
    """
    scheme, separator, rest = url.partition("://")
    kind = _SCHEMES.get(scheme.lower())
    if not separator or kind is None:
        raise ValueError(f"AGENT_REDIS__URL is not a URL of Redis; write one of: {FORMS}")
    if kind == "single":
        return RedisPlace("single", url)
    parts = _PARTS.fullmatch(rest)
    if parts is None:
        raise ValueError("AGENT_REDIS__URL has a #; write it as %23")
    userinfo, at, hosts = parts["authority"].rpartition("@")
    # A second @ may be in a password, or between the hosts: nobody knows.
    items = hosts.split(",") if "@" not in userinfo else [""]
    nodes = tuple(_address(item, _PORTS[kind]) for item in items)
    names = [unquote(part) for part in parts["path"].split("/") if part]
    service, database = _service(names) if kind == "sentinel" else ("", _no_database(names))
    query = f"?{parts['query']}" if parts["query"] else ""
    plain = scheme.lower().partition("+")[0]
    return RedisPlace(kind, f"{plain}://{userinfo}{at}server/{database}{query}", nodes, service)


def _address(item: str, port: int) -> Address:
    found = _ITEM.fullmatch(item)
    if found is None:
        raise ValueError(
            "AGENT_REDIS__URL must be like redis+…://user:password@one:6379,two:6379, with @ in a password as %40"
        )
    number = int(found["port"] or port)
    if not 0 < number < 65536:
        raise ValueError("AGENT_REDIS__URL has a port that is not a number from 1 to 65535")
    return found["host"].strip("[]"), number


def _service(names: list[str]) -> tuple[str, int]:
    form = "redis+sentinel://host:26379,host:26379/service/0"
    if not names:
        raise ValueError(f"AGENT_REDIS__URL must name the service that the Sentinels watch: {form}")
    database = names[1] if len(names) > 1 else "0"
    if len(names) > 2 or not re.fullmatch(r"[0-9]{1,6}", database):
        raise ValueError(f"AGENT_REDIS__URL may have only the number of a database after the service: {form}")
    return names[0], int(database)


def _no_database(names: list[str]) -> int:
    if names not in ([], ["0"]):
        raise ValueError("AGENT_REDIS__URL names a database, but a Redis Cluster has only the database 0")
    return 0
