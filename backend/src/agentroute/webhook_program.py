"""What ``agentroute webhooks`` does: looks at the endpoints of the database, and changes them."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import UTC, datetime
from typing import Any

import typer

from agentroute.command_database import with_engine
from agentroute.command_errors import fail, read_settings
from agentroute.command_table import print_table
from core.config import Settings
from core.log import configure_logging
from core.webhook_settings import WebhookEndpoint
from core.webhooks import endpoints
from core.webhooks.endpoints import KnownEndpoint
from core.webhooks.message import probe_message
from core.webhooks.sender import WebhookSender, own_target

_NAME = "agentroute-webhooks"


def show_endpoints(*, as_json: bool) -> None:
    """Print the endpoints; exit code 1 if one is off or fails."""
    settings = read_settings("database")
    hosts = {each.name: each.host for each in settings.webhooks.endpoints}
    known = {each.name: each for each in with_engine(settings, endpoints.list_endpoints, _NAME)}
    names = sorted({*hosts, *known})
    rows = [_told(name, hosts.get(name), known.get(name)) for name in names]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    elif not rows:
        typer.echo("There are no endpoints: see AGENT_WEBHOOKS__ENDPOINTS.")
    else:
        print_table(_table(rows))
    if any(row["state"] in {"disabled", "failing"} for row in rows):
        raise typer.Exit(1)


def test_endpoint(name: str) -> None:
    """Send a message that only tries the endpoint."""
    settings = read_settings()
    endpoint = _named(settings, name)
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}))
    target = own_target(endpoint.url.get_secret_value(), endpoint.signing_secrets)
    sender = WebhookSender(settings.webhooks.timeout_seconds)
    message_id = f"msg_{uuid.uuid4().hex}"
    failure = asyncio.run(sender.send(target, message_id, probe_message(name, datetime.now(UTC))))
    if failure is not None:
        fail(f"{name} ({endpoint.host}): {failure.error}. The message was {message_id}.")
    typer.echo(f"{name} ({endpoint.host}) has taken the message {message_id}.")


def enable_endpoint(name: str) -> None:
    """Let an endpoint have its messages again."""
    settings = read_settings("database")
    hurried = with_engine(settings, lambda engine: endpoints.enable_endpoint(engine, name), _NAME)
    if hurried is None:
        _unknown(name, settings)
    typer.echo(f"{name} gets its messages again; {hurried} that had failed are tried now.")


def replay_messages(name: str, *, since: str | None, delivered: bool) -> None:
    """Send messages again; of those that were taken only with a time."""
    settings = read_settings("database")
    begin = None if since is None else _time(since)
    lanes = {
        *(each.name for each in settings.webhooks.endpoints),
        *(f"host:{host.strip().lower()}" for host in settings.webhooks.run_hosts),
    }
    if name not in lanes:
        _unknown(name, settings)
    if delivered and begin is not None:
        count = with_engine(settings, lambda engine: endpoints.replay_all(engine, name, since=begin), _NAME)
    else:
        count = with_engine(
            settings, lambda engine: endpoints.replay_failed(engine, name, since=begin), _NAME
        )
    typer.echo(f"{count} messages to {name} are sent again, with the ids that they had.")


def _named(settings: Settings, name: str) -> WebhookEndpoint:
    for endpoint in settings.webhooks.endpoints:
        if endpoint.name == name:
            return endpoint
    return _unknown(name, settings)


def _unknown(name: str, settings: Settings) -> Any:
    known = ", ".join(each.name for each in settings.webhooks.endpoints) or "none"
    fail(f"There is no endpoint {name!r} here. AGENT_WEBHOOKS__ENDPOINTS names: {known}.")


def _time(text: str) -> datetime:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time, such as 2026-11-28T12:00:00Z.") from None
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)


def _told(name: str, host: str | None, known: KnownEndpoint | None) -> dict[str, Any]:
    return {
        "name": name,
        "host": host,
        "state": _state(host, known),
        "pending": 0 if known is None else known.pending,
        "oldestAt": None if known is None else _iso(known.oldest_at),
        "givenUp": 0 if known is None else known.given_up,
        "failures": 0 if known is None else known.failures,
        "lastError": None if known is None else known.last_error,
        "deliveredAt": None if known is None else _iso(known.delivered_at),
    }


def _state(host: str | None, known: KnownEndpoint | None) -> str:
    if known is None:
        # No worker has started with these settings.
        return "unknown to workers"
    if known.disabled_at is not None:
        return "disabled"
    if host is None:
        return "not in the settings"
    return "failing" if known.failures else "working"


def _iso(value: datetime | None) -> str | None:
    return None if value is None else f"{value:%Y-%m-%dT%H:%M:%SZ}"


def _table(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    head = ("ENDPOINT", "HOST", "STATE", "PENDING", "OLDEST", "GIVEN UP", "DELIVERED", "LAST ERROR")
    cells = (
        (
            row["name"],
            row["host"] or "-",
            row["state"],
            str(row["pending"]),
            row["oldestAt"] or "-",
            str(row["givenUp"]),
            row["deliveredAt"] or "never",
            row["lastError"] or "-",
        )
        for row in rows
    )
    return [head, *cells]
