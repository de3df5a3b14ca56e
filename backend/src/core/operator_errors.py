"""Errors of the routes of operators. As in ``core/errors.py``, each class defines its own code, title and status."""

from __future__ import annotations

from core.errors import Conflict


class RequeueRefused(Conflict):
    """The run is not queued again: it would be executed twice, or it has ended. ``detail`` says why. See what it waits for."""

    code, title = "requeue-refused", "The run cannot be queued again"
