"""The errors about several agents in one deployment. As in ``core/errors.py``: a docstring is the page of its code."""

from __future__ import annotations

from core.errors import Conflict, NotFound, RunFailure


class AgentUnknown(NotFound):
    """There is no agent of this id for you. ``agentIds`` names the agents that you may use.

    The same answer tells that the agent of a thread is gone, or is no longer yours: its history stays readable. Name
    another agent with ``forwardedProps.agentId`` and ``forwardedProps.switchAgent``, or start a new thread.
    """

    code, title = "agent-unknown", "No such agent"


class AgentFixed(Conflict):
    """The thread belongs to another agent: ``agentId`` names it. Start a new thread for the agent that you named.

    Or set ``forwardedProps.switchAgent``: then the thread goes on with the other agent. An answer to an interrupt always
    goes to the agent that asked.
    """

    code, title = "agent-fixed", "The thread belongs to another agent"


class AgentMissing(RunFailure):
    """The agent of the run was taken out of the deployment before the run began. Start a new run with another agent."""

    code, title = "agent-missing", "The agent of the run is gone"
