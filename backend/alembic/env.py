"""What Alembic runs: on the connection that ``agentroute.migrations`` hands over, or on one of its own.

The second is the ``alembic`` command of developers, which reads AGENT_DATABASE__URL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from agentroute import migrations
from agentroute.schema_state import compatible_from
from core.config import Settings
from models import AgentRun  # the package, not only its base: importing it is what fills the metadata


def _say_who_can_use_it(ctx: MigrationContext, heads: Iterable[str], **_: Any) -> None:
    """Record, in the transaction of each step, which versions can use the schema of now."""
    for revision in heads:
        if (oldest := compatible_from(ctx.opts["script"], revision)) is not None:
            ctx.execute(f"UPDATE alembic_version SET compatible_from = '{oldest}'")  # noqa: S608  a revision of ours


def _run(connection: Connection | None) -> None:
    context.configure(
        connection=connection,
        dialect_name=None if connection else "postgresql",
        target_metadata=AgentRun.metadata,
        compare_server_default=True,
        literal_binds=connection is None,
        on_version_apply=_say_who_can_use_it,
    )
    with context.begin_transaction():
        context.run_migrations()


async def _run_on_own_connection() -> None:
    async with migrations.connect(Settings().database.url.get_secret_value()) as connection:
        await connection.run_sync(_run)
        await connection.commit()


handed_over = context.config.attributes.get("connection")
if context.is_offline_mode():
    _run(None)
elif handed_over is not None:
    _run(handed_over)
else:
    asyncio.run(_run_on_own_connection())
