"""The meaning of LiteLLM's 400 answers, for which other endpoints use a more specific status."""

from __future__ import annotations

_MEANT_BY = {
    # A model name that the proxy's configuration does not have.
    "passed in model=": 404,
    # A key other than the master key, if the proxy has no database of keys.
    "no connected db": 401,
}


def meant_status(status: int, reason: str) -> int:
    """Return the status that another endpoint would have used.

    Args:
        status: The status of the answer.
        reason: The body of the answer, or the message in it.
    """
    if status != 400:
        return status
    return next((meant for words, meant in _MEANT_BY.items() if words in reason.lower()), status)
