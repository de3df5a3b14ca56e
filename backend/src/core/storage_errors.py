"""The errors about what is stored for users. As in ``core/errors.py``: a docstring is the page of its code."""

from __future__ import annotations

from core.errors import InvalidRequest, NotFound


class StorageQuotaExceeded(InvalidRequest):
    """The user or the tenant has stored as much as is allowed. Delete files or threads, then send the request again.

    ``usedBytes`` and ``maxBytes`` say how much that is.
    """

    code, title, status = "storage-quota-exceeded", "There is no room to store more", 413


class FileGone(NotFound):
    """The file was deleted, and a message still names it. Its owner deleted it, or the time for which files are kept is over.

    The message stays, and a model reads a note in place of the file. Upload the file again to use it.
    """

    code, title, status = "file-gone", "The file was deleted", 410
