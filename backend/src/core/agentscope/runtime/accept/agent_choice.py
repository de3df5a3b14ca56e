"""Which agent a run gets, of those that its caller may use.

Rules:

1. A new thread begins with the agent that the request names, otherwise with the default.
2. A thread keeps its agent. A request that names another one is refused, unless it says ``switchAgent``; then the
   thread goes on with the other agent, from this run on. An answer to an interrupt always goes to the agent that asked.
3. What the caller may not use looks like what does not exist, also if it is the agent of a thread. A thread of such an
   agent can be switched to another one, except by a credential that is limited to agents.
4. A deployment with one profile file stores no ids. A row without an id, also one of the version before, means the
   default agent.

The database function of ``usual.py`` has the same rules for requests that do not switch. See docs/adr/0034.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.agent_errors import AgentFixed, AgentUnknown
from core.agentscope.runtime.profile.access import ClaimNames, may_use
from core.agentscope.runtime.profile.agents import DEFAULT_ID, Agents
from core.agentscope.schemas.agent_runtime import RunOptions
from core.identity import Principal
from core.scopes import permits_agent

_NOT_THERE = "The thread's agent is not there for you."


@dataclass(frozen=True, slots=True)
class UsableAgents:
    """The agents of a deployment, as one caller sees them."""

    ids: tuple[str, ...]
    default_id: str
    """Of the deployment; the caller may be unable to use it."""
    keeps_ids: bool
    """Threads and runs get the id of their agent."""
    limited_to: tuple[str, ...] | None = None
    """The agents that the caller's credential names; ``None``: it is not limited to some."""

    def require(self, agent_id: str) -> None:
        """Refuse an agent that is not there for the caller.

        Raises:
            AgentUnknown: There is none of this id, or the caller may not use it.
        """
        if agent_id not in self.ids:
            raise AgentUnknown(self._absent("No agent of this id exists for you."), agentIds=list(self.ids))

    def require_thread_of(self, thread_agent: str | None) -> None:
        """Refuse a thread that the credential cannot see.

        Args:
            thread_agent: The id in the thread's row.

        Raises:
            AgentUnknown: The credential is limited to other agents.
        """
        if self.limited_to is not None and (thread_agent or self.default_id) not in self.limited_to:
            raise AgentUnknown(self._absent(_NOT_THERE), agentIds=list(self.ids))

    def choose(
        self, options: RunOptions, thread_agent: str | None, *, is_new: bool, answers: bool
    ) -> str | None:
        """Return the id to store with the run and its thread.

        Args:
            options: Of the request.
            thread_agent: The id in the thread's row.
            is_new: The thread has had no run.
            answers: The request answers interrupts.

        Raises:
            AgentUnknown: The named agent, or that of the thread, is not there for the caller.
            AgentFixed: The thread belongs to another agent than the named one.
        """
        named = options.agent_id
        if named is not None:
            self.require(named)
        current = thread_agent or self.default_id
        if not is_new:
            # Also not by ``switchAgent``: whoever takes a thread over can read it.
            self.require_thread_of(thread_agent)
        chosen = named or current
        if chosen != current and not is_new and (answers or not options.switch_agent):
            raise AgentFixed(
                "An answer goes to the agent that asked. Leave 'agentId' out."
                if answers
                else "The thread belongs to another agent. Start a new thread, or set forwardedProps.switchAgent.",
                agentId=current,
            )
        if chosen not in self.ids:
            told = "You may not use the default agent." if is_new else _NOT_THERE
            raise AgentUnknown(self._absent(told), agentIds=list(self.ids))
        return chosen if self.keeps_ids or chosen != current else thread_agent

    def _absent(self, told: str) -> str:
        return f"{told} You may use: {', '.join(self.ids) or 'none'}."


AgentsFor = Callable[[Principal], UsableAgents]
"""Says which agents a caller may use."""


def only_agent(_principal: Principal) -> UsableAgents:
    """Return the agents of a deployment with one profile that everybody may use."""
    return UsableAgents((DEFAULT_ID,), DEFAULT_ID, keeps_ids=False)


def agents_for(agents: Agents, names: ClaimNames) -> AgentsFor:
    """Return what says which agents a caller may use.

    Args:
        agents: Of the deployment.
        names: Where its tokens have groups and roles.
    """

    def usable(principal: Principal) -> UsableAgents:
        ids = tuple(
            agent_id
            for agent_id, profile in agents.profiles.items()
            if permits_agent(principal.scopes, agent_id) and may_use(principal, profile.access, names)
        )
        limited_to = principal.agents
        return UsableAgents(
            ids, agents.default_id, agents.keeps_ids, None if limited_to is None else tuple(limited_to)
        )

    return usable
