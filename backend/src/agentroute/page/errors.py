"""The error of the chat page. As in ``core/errors.py``: the docstring is the page of its code."""

from __future__ import annotations

from core.errors import AgentBackendError


class PageNotBuilt(AgentBackendError):
    """The chat page is not built in this checkout.

    Run ``npm ci --ignore-scripts && npm run build`` in ``clients/`` (Node 20), or install the package, which has it.
    """

    code, title, status = "page-not-built", "The chat page is not built", 501
