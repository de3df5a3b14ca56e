"""Opens the file store that the settings name, and the files in it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy.ext.asyncio import AsyncEngine

from core.config import FileSettings, LimitSettings
from core.errors import ConfigurationError
from core.files.folder import FolderStore
from core.files.library import FileLibrary
from core.files.store import FileStore


def open_store(settings: FileSettings) -> FileStore | None:
    """Return the store; ``None`` if files are off.

    Nothing is written, and no connection is made.

    Raises:
        ConfigurationError: The store cannot be used with these settings.
    """
    if not settings.is_on:
        return None
    if (parts := urlsplit(settings.url.get_secret_value())).scheme == "file":
        return FolderStore(Path(unquote(parts.path)))
    # Here: only a service with a bucket needs the library.
    from core.files.bucket import BucketStore

    try:
        return BucketStore(settings)
    except ValueError as exc:
        raise ConfigurationError(f"the file store cannot be opened: {exc}") from exc


def open_files(
    engine: AsyncEngine, settings: FileSettings, limits: LimitSettings, default_agent: str | None = None
) -> FileLibrary | None:
    """Return the files of a process' users; ``None`` if files are off.

    Args:
        engine: Of the process.
        settings: Where they are.
        limits: Of everything that is stored.
        default_agent: The agent of threads without an id of one.

    Raises:
        ConfigurationError: As :func:`open_store`.
    """
    store = open_store(settings)
    return None if store is None else FileLibrary(engine, store, settings, limits, default_agent)
