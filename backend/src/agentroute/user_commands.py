"""``agentroute erase``, ``export-user`` and ``import-user``: the data of one user, for operators."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from agentroute.command_errors import errors_as_lines


def _not_empty(name: str) -> str:
    # What is kept for accounting has an empty user.
    if not name:
        raise typer.BadParameter("it is empty, and names nobody.")
    return name


_Tenant = Annotated[str, typer.Option(help="Whose user that is.", callback=_not_empty)]
_User = Annotated[str, typer.Option(help="Id of the user, as in the user's tokens.", callback=_not_empty)]


def erase(
    user: _User,
    tenant: _Tenant = "default",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the receipt as JSON.")] = False,
) -> None:
    """Erase everything of a user, and print what was removed. If it was stopped, the same command goes on."""
    if not yes:
        typer.confirm(f"Erase everything of {tenant}/{user}? This cannot be undone.", abort=True)
    with errors_as_lines():
        from agentroute.user_program import run_erase

        done, told = asyncio.run(run_erase(tenant, user))
        typer.echo(json.dumps(told, indent=2) if as_json else _table(told))
        if not done:
            waits = told.get("waitsFor") or "the rest"
            typer.echo(f"error: It is not over: it waits for {waits}. Repeat the command.", err=True)
            raise typer.Exit(1)


def export_user(
    user: _User,
    file: Annotated[Path, typer.Argument(help="New file for the lines of JSON.")],
    tenant: _Tenant = "default",
) -> None:
    """Write everything of a user into a file, as GET /export does."""
    with errors_as_lines():
        from agentroute.user_program import run_export

        size = asyncio.run(run_export(tenant, user, file))
        typer.echo(f"{file} has {size} bytes.")


def import_user(
    file: Annotated[Path, typer.Argument(help="An export.", exists=True, dir_okay=False)],
    user: _User,
    tenant: _Tenant = "default",
) -> None:
    """Load an export into a user who has nothing yet: all of it, or nothing."""
    with errors_as_lines():
        from agentroute.user_program import run_import

        counts = asyncio.run(run_import(tenant, user, file))
        told = ", ".join(f"{count} x {kind}" for kind, count in counts.items()) or "nothing"
        typer.echo(f"{tenant}/{user} has now: {told}.")


def _table(receipt: dict[str, Any]) -> str:
    lines = [f"Erasure {receipt['erasureId']}: {receipt['state']}."]
    for line in receipt["stores"]:
        kept = f", {line['kept']} kept" if line["kept"] else ""
        note = f"  ({line['note']})" if line.get("note") else ""
        lines.append(f"  {line['store']}: {line['removed']} removed{kept}{note}")
    return "\n".join(lines)
