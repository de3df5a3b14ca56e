"""``agentroute storage``: whether what users have stored is counted right."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

from agentroute.command_errors import errors_as_lines, fail, read_settings

if TYPE_CHECKING:
    from core.stored_bytes import Drift

storage = typer.Typer(name="storage", help="What users have stored.", no_args_is_help=True)


@storage.callback()
def _storage() -> None:
    """Keep ``recount`` a command of its own name while it is the only one."""


@storage.command()
def recount(
    repair: Annotated[bool, typer.Option("--repair", help="Correct what is wrong.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count anew how many bytes users have stored, and name those whose count is wrong: exit code 1 if it stays so.

    All messages are read. The service may go on meanwhile.
    """
    with errors_as_lines():
        settings = read_settings("database")
        from agentroute import migrations
        from agentroute.preflight import check_migrations, check_postgres
        from core.stored_bytes import find_drift

        for check in (check_postgres, check_migrations):
            if not (result := asyncio.run(check(settings))).ok:
                fail(result.line)

        async def count() -> list[Drift]:
            # Without the time limits of the service's connections.
            async with migrations.connect(settings.database.direct) as connection:
                found = await find_drift(connection, repair=repair)
                await connection.commit()
                return found

        found = asyncio.run(count())
        if as_json:
            typer.echo(json.dumps([_told(drift) for drift in found], indent=2))
        for drift in () if as_json else found:
            typer.echo(
                f"{drift.tenant_id}/{drift.user_id}: counted {drift.counted} bytes, stored {drift.stored} bytes"
            )
        if not as_json:
            typer.echo(_summary(len(found), repair=repair))
        if found and not repair:
            raise typer.Exit(1)


def _told(drift: Drift) -> dict[str, object]:
    return {
        "tenantId": drift.tenant_id,
        "userId": drift.user_id,
        "countedBytes": drift.counted,
        "storedBytes": drift.stored,
    }


def _summary(wrong: int, *, repair: bool) -> str:
    if not wrong:
        return "Every count is right."
    return (
        f"{wrong} counts were wrong, and are corrected."
        if repair
        else f"{wrong} counts are wrong: use --repair."
    )
