"""How commands work in the database of the settings."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from agentroute.command_errors import fail
from agentroute.preflight import check_migrations, check_postgres
from core.config import Settings
from core.database import create_engine
from core.errors import AgentBackendError
from core.log import configure_logging

Result = TypeVar("Result")


def with_engine(settings: Settings, work: Callable[[AsyncEngine], Awaitable[Result]], name: str) -> Result:
    """Return what ``work`` returns, once the database is known to be there and migrated.

    Args:
        settings: The database of these.
        work: Gets an engine that is closed after it.
        name: Application name of the connections.

    Raises:
        typer.Exit: The database cannot be used, or ``work`` was refused; a line on standard error says why.
    """
    for check in (check_postgres, check_migrations):
        if not (result := asyncio.run(check(settings))).ok:
            fail(result.line)
    # The command says what it did: a line of the log beside that would only be in the way.
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}))

    async def run() -> Result:
        engine = create_engine(settings.database, application_name=name)
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    try:
        return asyncio.run(run())
    except AgentBackendError as exc:
        typer.echo(f"error: {exc.detail}", err=True)
        # 422: what was given cannot be; otherwise what is there does not allow it.
        raise typer.Exit(2 if exc.status == 422 else 1) from None
