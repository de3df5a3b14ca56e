"""What Alembic runs: on the connection that ``agentroute.migrations`` hands over, or on one of its own.

The second is the ``alembic`` command of developers, which reads AGENT_DATABASE__URL.
"""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection

from agentroute import migrations
from core.config import Settings
from models import AgentRun  # the package, not only its base: importing it is what fills the metadata


def _run(connection: Connection | None) -> None:
    context.configure(
        connection=connection,
        dialect_name=None if connection else "postgresql",
        target_metadata=AgentRun.metadata,
        compare_server_default=True,
        literal_binds=connection is None,
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
