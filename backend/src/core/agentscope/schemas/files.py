"""Files as their owner sees them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from core.agentscope.schemas.messages import WireModel

PROVIDER = "agentroute"
"""``provider`` of a message's source that names a file of this service."""


class FileItem(WireModel):
    """A file of the caller."""

    file_id: str
    """SHA-256 of the bytes, in hexadecimal. The ``value`` of a source of type ``file``."""
    media_type: str
    """By the first bytes. Among texts, what the client said."""
    bytes: int
    name: str
    """Of the newest upload of these bytes, without directories."""
    created_at: datetime
    url: str
    """Path of ``GET /files/{fileId}``."""


class FileListResponse(WireModel):
    """A page of the caller's files, newest first."""

    files: list[FileItem]
    next_before: str | None = None
    """``before`` of the next page; null on the last page."""

    def wire(self) -> dict[str, Any]:
        """Return the JSON form; ``nextBefore`` is null when there is no next page."""
        return {"files": [item.wire() for item in self.files], "nextBefore": self.next_before}
