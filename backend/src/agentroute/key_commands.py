"""``agentroute keys``: the API keys of machines, in the database. So the first admin of a deployment gets a key."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from agentroute.command_errors import errors_as_lines

keys = typer.Typer(name="keys", help="API keys for machines.", no_args_is_help=True)

_Days = Annotated[int | None, typer.Option(min=1, help="How long the key is good; 366 at most.")]
_KeyId = Annotated[
    str, typer.Argument(metavar="KEY", help="Id of the key, or a whole key that was found somewhere.")
]


def _finite(hours: float) -> float:
    # The bounds let it pass: nothing is less or more than what is no number.
    if not math.isfinite(hours):
        raise typer.BadParameter("is no number of hours.")
    return hours


@keys.command()
def create(
    user: Annotated[
        str, typer.Option(help="As whom the key acts: the id of a user, or a name for the machine.")
    ],
    tenant: Annotated[str, typer.Option(help="Whose user that is.")] = "default",
    name: Annotated[str, typer.Option(help="What the key is for.")] = "",
    scope: Annotated[
        list[str] | None,
        typer.Option(help="run, read or admin; may be repeated.", show_default="run and read"),
    ] = None,
    agent: Annotated[
        list[str] | None,
        typer.Option(help="Only for this agent; may be repeated.", show_default="every agent"),
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=1, help="How long the key is good; 366 at most.", show_default="90")
    ] = None,
    never_expires: Annotated[bool, typer.Option("--never-expires", help="Good until it is revoked.")] = False,
) -> None:
    """Make an API key. It is printed once, alone on standard output; what is known of it goes to standard error."""
    if never_expires and days is not None:
        raise typer.BadParameter("Give --days or --never-expires, not both.")
    with errors_as_lines():
        from agentroute.key_program import create_key

        scopes = [*(scope or ("run", "read")), *(f"agent:{agent_id}" for agent_id in agent or ())]
        create_key(
            tenant_id=tenant, user_id=user, name=name, scopes=scopes, days=days, never_expires=never_expires
        )


@keys.command("list")
def list_keys(
    tenant: Annotated[str | None, typer.Option(help="Only keys of this tenant.")] = None,
    user: Annotated[str | None, typer.Option(help="Only keys that act as this user.")] = None,
    ended: Annotated[bool, typer.Option("--all", help="Also keys that are revoked or expired.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List API keys, newest first: whose they are, what they permit, when they were used, when they end."""
    with errors_as_lines():
        from agentroute.key_program import show_keys

        show_keys(tenant_id=tenant, user_id=user, ended=ended, as_json=as_json)


@keys.command()
def revoke(key: _KeyId) -> None:
    """Revoke an API key for ever. Every process refuses it within 30 seconds; its streams end within a minute."""
    with errors_as_lines():
        from agentroute.key_program import revoke_key

        revoke_key(key)


@keys.command()
def rotate(
    key: _KeyId,
    overlap_hours: Annotated[
        float,
        typer.Option(
            min=0, max=168, callback=_finite, help="How long the old secret stays good; 168 at most."
        ),
    ] = 24,
    days: _Days = None,
) -> None:
    """Give an API key a new secret, printed once on standard output. It lasts as long as the one before was to last."""
    with errors_as_lines():
        from agentroute.key_program import rotate_key

        rotate_key(key, overlap_seconds=round(overlap_hours * 3600), days=days)
