"""Files in a bucket of an S3-compatible service, through ``obstore``.

The library does its work outside of Python, in threads of its own. An upload of more than one part is a multipart
upload: nothing can be read before its end. What a dead process left of one is removed by a lifecycle rule of the bucket
(``AbortIncompleteMultipartUpload``), see docs/files.md.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import S3Store

from core.config import FileSettings
from core.errors import FilesUnavailable
from core.files.store import READ_BYTES, FileMissing, try_out

log = structlog.get_logger(__name__)

_PART_BYTES = 5 << 20
"""The smallest part of S3."""
_CONNECT_TIMEOUT = "5s"
_REQUEST_TIMEOUT = "60s"
_RETRY_SECONDS = 20


class BucketStore:
    """A store in a bucket, below a prefix.

    Args:
        settings: With a URL ``s3://bucket/prefix``. Without keys, those of the environment count, as AWS defines it.

    Raises:
        ValueError: The library refuses a setting.
    """

    def __init__(self, settings: FileSettings) -> None:
        place = urlsplit(settings.url.get_secret_value())
        config: dict[str, Any] = {
            "region": settings.region,
            "virtual_hosted_style_request": settings.virtual_hosts,
        }
        options: dict[str, Any] = {"connect_timeout": _CONNECT_TIMEOUT, "timeout": _REQUEST_TIMEOUT}
        if settings.endpoint:
            config["endpoint"] = settings.endpoint
            options["allow_http"] = settings.endpoint.startswith("http://")
        if settings.access_key.get_secret_value():
            config["access_key_id"] = settings.access_key.get_secret_value()
            config["secret_access_key"] = settings.secret_key.get_secret_value()
        try:
            self._store = S3Store(
                place.netloc,
                prefix=place.path.strip("/") or None,
                config=config,  # pyright: ignore[reportArgumentType]  a TypedDict of the library's stub
                client_options=options,  # pyright: ignore[reportArgumentType]
                retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=_RETRY_SECONDS)},
            )
        except BaseError as exc:
            raise ValueError(f"the library refuses the settings ({type(exc).__name__})") from exc

    async def put(self, name: str, chunks: AsyncIterator[bytes]) -> None:
        """See ``FileStore.put``."""
        failed: list[BaseException] = []

        async def noted() -> AsyncIterator[bytes]:
            try:
                async for chunk in chunks:
                    yield chunk
            except BaseException as exc:
                failed.append(exc)
                raise

        try:
            # Two parts under way: what an upload takes of memory is known.
            await obstore.put_async(self._store, name, noted(), chunk_size=_PART_BYTES, max_concurrency=2)
        except Exception as exc:
            if failed:
                raise failed[0] from None
            raise _unavailable(exc) from exc

    async def read(self, name: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """See ``FileStore.read``."""
        if end is not None and end <= start:
            return
        wanted: Any = {"offset": start} if end is None else (start, end)
        try:
            found = await obstore.get_async(self._store, name, options={"range": wanted})
            async for chunk in found.stream(min_chunk_size=READ_BYTES):
                yield bytes(chunk)
        except FileNotFoundError as exc:
            raise FileMissing from exc
        except (BaseError, OSError) as exc:
            raise _unavailable(exc) from exc

    async def delete(self, name: str) -> None:
        """See ``FileStore.delete``."""
        try:
            await obstore.delete_async(self._store, name)
        except FileNotFoundError:
            return
        except (BaseError, OSError) as exc:
            raise _unavailable(exc) from exc

    async def check(self) -> None:
        """See ``FileStore.check``."""
        await try_out(self)

    async def tidy(self, older_than_seconds: float) -> None:
        """Nothing to do: a multipart upload without an end is no object, and a lifecycle rule removes it."""


def _unavailable(error: BaseException) -> FilesUnavailable:
    # The text of the library names hosts and paths, which is for the log alone.
    log.warning("file_store_failed", error=type(error).__name__, text=str(error).partition("\n")[0][:300])
    return FilesUnavailable("The file store cannot be used now. Try again later.")
