"""The requirements of a process: one check per server, for ``doctor`` and for the start of processes; Redis: ``redis_check``.

A check never raises and never shows a password. Its result says what was found and what to do.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import asyncpg
import httpx

from agentroute.check_result import CheckResult
from agentroute.schema_state import find_state, schema
from core.config import Settings
from core.errors import SchemaIncompatible
from core.postgres_connection import asyncpg_dsn, direct_dsn, open_connection

TIMEOUT_SECONDS = 5
"""Limit of one check."""
_OLDEST_POSTGRES = 14
_LOCAL_MODELS = {
    "Ollama": "http://127.0.0.1:11434/v1",
    "llama.cpp": "http://127.0.0.1:8080/v1",
}
"""Where the servers listen that people run on their own machine."""
_LOCAL_TIMEOUT_SECONDS = 0.2


async def check_postgres(settings: Settings) -> CheckResult:
    """Check that Postgres answers, accepts the credentials, and is new enough."""
    name = "Postgres"
    if not settings.database.url.get_secret_value():
        return no_url(name, "AGENT_DATABASE__URL", "postgresql://user:password@host:5432/name")
    try:
        connection = await open_connection(
            asyncpg_dsn(settings.database),
            application_name="agentroute-check",
            connect_seconds=TIMEOUT_SECONDS,
            statement_seconds=TIMEOUT_SECONDS,
            # Whether there is a pooler, the next check says.
            pooled=True,
        )
        try:
            version = str(await connection.fetchval("SHOW server_version"))
        finally:
            await connection.close()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as exc:
        return CheckResult(name, False, *_postgres_problem(exc, settings))
    if int(version.split(".")[0]) < _OLDEST_POSTGRES:
        return CheckResult(name, False, f"version {version}", f"Use Postgres {_OLDEST_POSTGRES} or newer.")
    return CheckResult(name, True, f"version {version}")


async def check_migrations(settings: Settings) -> CheckResult:
    """Check that this version can use the schema: it has the revision of this version, or is newer and compatible."""
    name = "Migrations"
    if not settings.database.url.get_secret_value():
        return CheckResult(name, False, "no database is configured", "Set AGENT_DATABASE__URL first.")
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            found = await find_state(direct_dsn(settings.database), seconds=TIMEOUT_SECONDS)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError):
        return CheckResult(name, False, "the database cannot be read", "Fix Postgres first.")
    ours = schema()
    match ours.judge(found):
        case "current":
            return CheckResult(name, True, f"at {found.revision}, the newest")
        case "newer":
            return CheckResult(
                name, True, f"at {found.revision}, newer than this version and compatible with it"
            )
        case "behind":
            at = f"at {found.revision}" if found.revision else "none applied"
            line = f"{at}; this version needs {ours.revision}"
            return CheckResult(name, False, line, "Run `agentroute migrate`.")
        case "incompatible":
            line = f"at {found.revision}, which this version (at {ours.revision}) cannot use ({SchemaIncompatible.code})"
            return CheckResult(
                name, False, line, "Start the version that migrated the database, or a newer one."
            )


async def check_model(settings: Settings) -> CheckResult:
    """Check that the model endpoint answers ``GET {base_url}/models`` and accepts the key."""
    name = "Model"
    base_url = settings.model.base_url.rstrip("/")
    if not base_url:
        return no_url(name, "AGENT_MODEL__BASE_URL", "https://host/v1 of an OpenAI-compatible API")
    place = place_of(base_url)
    listed = await list_models(base_url, settings.model.api_key.get_secret_value())
    match listed.status:
        case None:
            found = f"{place} does not answer ({listed.error})"
            return CheckResult(
                name, False, found, "Start the model server, or correct AGENT_MODEL__BASE_URL."
            )
        case 401 | 403:
            found = f"{place} refuses the key ({listed.status})"
            return CheckResult(name, False, found, "Set AGENT_MODEL__API_KEY.")
        case 200:
            return _judge_model(name, settings.model.name, place, listed.names)
        case status if status >= 500:
            return CheckResult(name, False, f"{place} fails ({status})", "Read the log of the model server.")
        case status:
            fix = "AGENT_MODEL__BASE_URL must end with the version, often /v1."
            return CheckResult(name, False, f"{place} has no /models ({status})", fix)


@dataclass(frozen=True, slots=True)
class ModelList:
    """What an endpoint says at ``GET {base_url}/models``."""

    status: int | None
    """Of the answer; None if there was none."""
    names: list[str]
    """Of its models, in its order; empty if the answer is no such list."""
    error: str = ""
    """The kind of failure, if there was no answer."""


async def list_models(
    base_url: str, key: str = "", *, seconds: float = TIMEOUT_SECONDS, trust_env: bool = True
) -> ModelList:
    """Ask an OpenAI-compatible endpoint for its models. Never raises.

    Args:
        base_url: Up to and including the version.
        key: Sent as a bearer token, if there is one.
        seconds: Limit of each step.
        trust_env: Whether the proxies of the environment are used.
    """
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        async with httpx.AsyncClient(timeout=seconds, trust_env=trust_env) as client:
            answer = await client.get(f"{base_url.rstrip('/')}/models", headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        return ModelList(None, [], type(exc).__name__)
    return ModelList(answer.status_code, _model_names(answer))


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A model server of this machine."""

    title: str
    base_url: str
    models: list[str]


async def find_local_servers() -> list[LocalServer]:
    """Return the model servers of this machine that have a model, as a suggestion only."""

    async def probe(title: str, base_url: str) -> LocalServer:
        found = await list_models(base_url, seconds=_LOCAL_TIMEOUT_SECONDS, trust_env=False)
        return LocalServer(title, base_url, found.names if found.status == 200 else [])

    found = await asyncio.gather(*(probe(title, url) for title, url in _LOCAL_MODELS.items()))
    return [server for server in found if server.models]


async def find_local_models() -> list[str]:
    """Return the base URLs of :func:`find_local_servers`."""
    return [server.base_url for server in await find_local_servers()]


def no_url(name: str, variable: str, example: str) -> CheckResult:
    """Return the result of a check whose URL is not set."""
    fix = f"Set it to {example}, or run `agentroute embedded`, which starts everything."
    return CheckResult(name, False, f"{variable} is not set", fix)


def _postgres_problem(error: Exception, settings: Settings) -> tuple[str, str]:
    place = place_of(settings.database.url.get_secret_value())
    match error:
        case asyncpg.InvalidAuthorizationSpecificationError():  # a wrong password is one, too
            return f"{place} refuses the user or the password", "Correct AGENT_DATABASE__URL."
        case asyncpg.InvalidCatalogNameError():
            return (
                f"{place}: the database does not exist",
                "Create it (createdb), or correct AGENT_DATABASE__URL.",
            )
        case asyncpg.PostgresError():
            return f"{place} refuses: {error}", "Fix the cause and retry."
        case OSError():  # refused, unknown host, timeout
            return f"{place} does not answer", "Start Postgres, or correct AGENT_DATABASE__URL."
        case _:
            return (
                "AGENT_DATABASE__URL is not a URL of Postgres",
                "Write postgresql://user:password@host:5432/name.",
            )


def _judge_model(name: str, wanted: str, place: str, listed: list[str]) -> CheckResult:
    if listed and wanted not in listed:
        shown = ", ".join(listed[:5]) + (", ..." if len(listed) > 5 else "")
        return CheckResult(
            name, False, f"{place} has no model {wanted!r}", f"Set AGENT_MODEL__NAME to one of: {shown}."
        )
    return CheckResult(name, True, f"{place}, model {wanted}")


def _model_names(answer: httpx.Response) -> list[str]:
    try:
        return [str(model["id"]) for model in answer.json()["data"]]
    except (json.JSONDecodeError, KeyError, TypeError):
        return []


def place_of(url: str) -> str:
    """Host and port of a URL, or its socket; never the user or the password."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the address"
    if host:
        return f"{host}{port}"
    return {"unix": unquote(parts.path), "postgresql": "the unix socket"}.get(parts.scheme) or "the address"
