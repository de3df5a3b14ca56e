"""What ``agentroute keys`` does: administers the API keys in the database of the settings."""

from __future__ import annotations

import getpass
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

import typer

from agentroute.command_database import with_engine
from agentroute.command_errors import read_settings
from agentroute.command_table import print_table
from core.agentscope.schemas.api_keys import ApiKeyItem
from core.api_keys.keeper import IssuedKey, KeyKeeper
from core.api_keys.key_form import key_id_in
from core.api_keys.key_rules import DEFAULT_DAYS
from core.api_keys.key_store import KeyStore
from core.api_keys.stored_key import KnownKey

_PAGE = 500
_NEVER = "never"

Result = TypeVar("Result")


def create_key(
    *, tenant_id: str, user_id: str, name: str, scopes: Sequence[str], days: int | None, never_expires: bool
) -> None:
    """Make a key and print it."""
    lasts = None if never_expires else (days or DEFAULT_DAYS)
    issued = _with_keeper(
        lambda keeper: keeper.create(
            tenant_id=tenant_id, user_id=user_id, by=operator_name(), name=name, scopes=scopes, days=lasts
        )
    )
    _print(issued)


def show_keys(*, tenant_id: str | None, user_id: str | None, ended: bool, as_json: bool) -> None:
    """Print the keys."""

    async def all_of_them(keeper: KeyKeeper) -> list[KnownKey]:
        found: list[KnownKey] = []
        before: tuple[datetime, str] | None = None
        while True:
            page = await keeper.page(tenant_id, user_id=user_id, ended=ended, limit=_PAGE, before=before)
            found += page
            if len(page) < _PAGE:
                return found
            before = page[-1].created_at, page[-1].key_id

    found = _with_keeper(all_of_them)
    if as_json:
        typer.echo(
            json.dumps(
                [{"tenantId": known.tenant_id, **ApiKeyItem.of(known).wire()} for known in found], indent=2
            )
        )
    elif not found:
        typer.echo("There are no API keys." if ended else "There are no live API keys.")
    else:
        head = ("KEY", "TENANT/USER", "SCOPES", "STATE", "EXPIRES", "LAST USED", "NAME")
        print_table([head, *map(_row, found)])


def revoke_key(key: str) -> None:
    """Revoke a key."""
    key_id = _key_id(key)
    known = _with_keeper(lambda keeper: keeper.revoke(None, key_id, by=operator_name()))
    typer.echo(
        f"The key {known.key_id} of {known.tenant_id}/{known.user_id} is revoked, by {known.revoked_by}. "
        + "Every process refuses it within 30 seconds."
    )


def rotate_key(key: str, *, overlap_seconds: int, days: int | None) -> None:
    """Give a key another secret, and print it."""
    key_id = _key_id(key)
    _print(
        _with_keeper(
            lambda keeper: keeper.rotate(
                None, key_id, by=operator_name(), overlap_seconds=overlap_seconds, days=days
            )
        )
    )


def _with_keeper(work: Callable[[KeyKeeper], Awaitable[Result]]) -> Result:
    return with_engine(
        read_settings("database"), lambda engine: work(KeyKeeper(KeyStore(engine))), "agentroute-keys"
    )


def _print(issued: IssuedKey) -> None:
    known = issued.known
    ends = _NEVER if known.expires_at is None else f"{known.expires_at:%Y-%m-%d %H:%M} UTC"
    lines = [
        f"Key {known.key_id} acts as {known.user_id} of the tenant {known.tenant_id}.",
        f"Scopes: {', '.join(known.scopes)}. Expires: {ends}.",
    ]
    if known.previous_until is not None:
        lines.append(f"The secret before stays good until {known.previous_until:%Y-%m-%d %H:%M} UTC.")
    lines.append("The key is shown once. Keep it now:")
    typer.echo("\n".join(lines), err=True)
    typer.echo(issued.key)


def _key_id(given: str) -> str:
    key_id = key_id_in(given)
    if key_id is None:
        # Never what was given: it may be most of a key.
        typer.echo("error: That is neither the id of an API key nor an API key.", err=True)
        raise typer.Exit(2)
    return key_id


def operator_name() -> str:
    """Return who uses a command, for what keeps who did something."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # a container may run as a number without a name
        return "cli"


def _row(known: KnownKey) -> tuple[str, ...]:
    return (
        known.key_id,
        f"{known.tenant_id}/{known.user_id}",
        ",".join(known.scopes),
        known.state,
        _NEVER if known.expires_at is None else f"{known.expires_at:%Y-%m-%d}",
        _NEVER if known.last_used_at is None else f"{known.last_used_at:%Y-%m-%d %H:%M}",
        known.name,
    )
