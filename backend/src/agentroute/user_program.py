"""What the commands about one user's data do, in the deployment of the settings."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, BinaryIO

from agentroute.command_errors import fail, read_settings
from agentroute.container import open_api_container
from agentroute.preflight import check_migrations, check_postgres
from core.config import Settings
from core.errors import AgentBackendError
from core.identity import Principal
from core.log import configure_logging
from core.user_data.import_file import NotAnExport, check_export
from core.user_data.importer import FilesNeeded, Importer, LinesLost, UserNotEmpty
from v1.agent.user_data_wire import ErasureResponse

ERASE_SECONDS = 600.0
"""How long the command waits. The processes of the service go on with what is left."""


async def run_erase(tenant: str, user: str) -> tuple[bool, dict[str, Any]]:
    """Erase a user; returns whether it is over, and the receipt."""
    settings = await _settings()
    async with open_api_container(settings) as container:
        erasure, waits_for = await container.erasures.erase(
            Principal(tenant, user), "operator", within_seconds=ERASE_SECONDS
        )
    return erasure.finished_at is not None, ErasureResponse.of(erasure, waits_for).wire()


async def run_export(tenant: str, user: str, path: Path) -> int:
    """Write the export of a user into a new file; returns its bytes. Nothing stays of one that fails."""
    settings = await _settings()
    size = 0
    try:
        file = await asyncio.to_thread(_new_private, path)
    except OSError as exc:
        fail(f"{path} cannot be written: {exc.strerror}")
    try:
        with file:
            async with open_api_container(settings) as container:
                async for chunk in container.exports.export(Principal(tenant, user)):
                    size += file.write(chunk)
    except BaseException:
        await asyncio.to_thread(path.unlink)
        raise
    return size


def _new_private(path: Path) -> BinaryIO:
    """Create a file for everything of somebody: nobody else on the machine may read it."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


async def run_import(tenant: str, user: str, path: Path) -> dict[str, int]:
    """Load an export into a user; returns how much there is now."""
    settings = await _settings()
    try:
        export = await asyncio.to_thread(check_export, path)
    except NotAnExport as exc:
        fail(str(exc))
    async with open_api_container(settings) as container:
        importer = Importer(container.exports.engine, container.files)
        try:
            return await importer.load(export, Principal(tenant, user))
        except UserNotEmpty as exc:
            fail(f"{exc} Nothing was imported. Choose another user, or erase this one first.")
        except LinesLost as exc:
            fail(f"{exc} Nothing was imported. Export the user again.")
        except FilesNeeded:
            fail("The export has files, and this deployment keeps none: set AGENT_FILES__URL.")
        except AgentBackendError as exc:
            fail(f"{exc.detail} Nothing was imported.")


async def _settings() -> Settings:
    settings = read_settings("database", "redis")
    for check in (check_postgres, check_migrations):
        if not (result := await check(settings)).ok:
            fail(result.line)
    # The command says what was done: lines of the log beside it would only be in the way.
    configure_logging(settings.model_copy(update={"log_level": "ERROR"}))
    return settings
