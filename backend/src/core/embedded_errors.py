"""The errors of the embedded mode's own routes. As in ``core/errors.py``: a docstring is the page of its code."""

from __future__ import annotations

from core.errors import Conflict, InvalidRequest, Overloaded


class ModelRefused(InvalidRequest):
    """The model did not answer a small request, so it was not taken. ``detail`` says what to correct.

    ``reason`` is ``unreachable``, ``address``, ``key``, ``model-unknown``, ``silent`` or ``failed``; ``models`` are those
    that the endpoint lists; ``said`` are the endpoint's own words.
    """

    code, title = "model-refused", "The model did not answer"


class ModelFixed(Conflict):
    """The environment of the service names the model (``AGENT_MODEL__*``), and it comes first.

    Remove the variables that ``variables`` lists and start again; then the model can be chosen on the page.
    """

    code, title = "model-fixed", "The model is set in the environment"


class ModelNotUsed(Conflict):
    """The model answers, but the service could not take it into use. ``detail`` says why; the model before stays."""

    code, title = "model-not-used", "The model is not used"


class ProcessUnavailable(Conflict):
    """The process cannot be killed: it is starting, or it is a server of your own. Wait until it runs."""

    code, title = "process-unavailable", "The process cannot be killed"


class SupervisorUnavailable(Overloaded):
    """The process that started this service did not answer in time. Retry; if it persists, start the service again."""

    code, title = "supervisor-unavailable", "The supervisor does not answer"
