"""The errors about what is stored for users. As in ``core/errors.py``: a docstring is the page of its code."""

from __future__ import annotations

from core.errors import InvalidRequest


class StorageQuotaExceeded(InvalidRequest):
    """The user or the tenant has stored as much as is allowed. Delete files or threads, then send the request again.

    ``usedBytes`` and ``maxBytes`` say how much that is.
    """

    code, title, status = "storage-quota-exceeded", "There is no room to store more", 413
