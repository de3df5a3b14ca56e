"""The errors about credentials. As in ``core/errors.py``: a docstring is the page of its code."""

from __future__ import annotations

from core.errors import Overloaded


class IssuerUnavailable(Overloaded):
    """The public keys of the tokens' issuer are not known now: it does not answer. Retry after ``Retry-After``.

    The token may be good. If this lasts, the operator runs ``agentroute doctor``.
    """

    code, title = "issuer-unavailable", "The token cannot be checked now"
    default_retry_after_seconds = 5
