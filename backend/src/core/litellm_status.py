"""What LiteLLM means by a 400, where others answer with the status of their own that says so."""

from __future__ import annotations

_MEANT_BY = {
    # A name that its configuration does not have.
    "passed in model=": 404,
    # A key that is not its master key, when it has no database of keys.
    "no connected db": 401,
}


def meant_status(status: int, reason: str) -> int:
    """Return the status another endpoint would have given.

    Args:
        status: The answer's own.
        reason: Its body, or the message in it.
    """
    if status != 400:
        return status
    return next((meant for words, meant in _MEANT_BY.items() if words in reason.lower()), status)
