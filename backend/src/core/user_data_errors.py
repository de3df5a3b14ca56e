"""The errors about the data of a user as a whole. As in ``core/errors.py``: a docstring is the page of its code."""

from __future__ import annotations

from core.errors import Conflict

BEING_ERASED = (
    "Your data is being erased. Repeat DELETE /me to see how far it is; afterwards you can begin anew."
)


class ErasureUnderWay(Conflict):
    """The user's data is being erased, and nothing new is taken in. Repeat ``DELETE /me`` to see how far it is.

    Afterwards the user can come back as a new one.
    """

    code, title, retryable = "erasure-under-way", "The user's data is being erased", True
    default_retry_after_seconds = 5
