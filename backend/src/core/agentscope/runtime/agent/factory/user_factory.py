"""The function of a user that makes the agent of a run, found by its reference; and how runners are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import httpx
from agentscope.agent import Agent

from core.agentscope.runtime.agent.factory.agent_run import AgentRun
from core.agentscope.runtime.agent.factory.lifespan import Lifespans
from core.agentscope.runtime.agent.runner.user_runner import UserRunner, problem_of
from core.agentscope.runtime.agent.thread_memory import AGENT_NAME
from core.agentscope.tools.errors import ToolDefinitionError
from core.agentscope.tools.user_call import called
from core.agentscope.tools.user_module import import_attribute


class AgentCodeInvalid(ValueError):
    """The code of an agent cannot be used. The message is one line for the operator."""


@dataclass(frozen=True, slots=True)
class UserFactory:
    """A factory with what it shares between runs."""

    reference: str
    function: Callable[[AgentRun], Any]
    http: httpx.AsyncClient
    resources: Any = None

    async def __call__(self, run: AgentRun) -> Any:
        """Return what the factory returns. A plain function runs in a thread, so that it may block.

        Raises:
            Exception: What the user's code raised.
        """
        return await called(self.function, run)


async def load_factory(reference: str, http: httpx.AsyncClient, lifespans: Lifespans) -> UserFactory:
    """Import a factory and open the resources of its module.

    Raises:
        AgentCodeInvalid: There is no such function, or its module has a bug.
        LifespanInvalid: The module's ``@lifespan`` failed.
    """
    module, function = _found(reference)
    if not callable(function) or isinstance(function, type):
        raise AgentCodeInvalid(
            f"{reference}: not a function; write `async def create_agent(run: AgentRun) -> Agent`"
        )
    return UserFactory(reference, function, http, await lifespans.resources_of(module))


async def load_runner(reference: str, http: httpx.AsyncClient, lifespans: Lifespans) -> UserRunner:
    """Import a runner and open the resources of its module.

    Raises:
        AgentCodeInvalid: There is no such function, it does not take a run, or its module has a bug.
        LifespanInvalid: The module's ``@lifespan`` failed.
    """
    module, function = _found(reference)
    if problem := problem_of(function):
        raise AgentCodeInvalid(f"{reference}: {problem}")
    return UserRunner(reference, function, http, await lifespans.resources_of(module))


def _found(reference: str) -> tuple[ModuleType, Any]:
    try:
        return import_attribute(reference)
    except ToolDefinitionError as exc:
        raise AgentCodeInvalid(str(exc)) from exc


async def profile_s_agent(run: AgentRun) -> Agent:
    """Return the agent that a profile describes, as a factory would: for a profile with middlewares."""
    return Agent(
        name=AGENT_NAME,
        system_prompt=run.system_prompt,
        model=run.model,
        toolkit=run.toolkit(),
        state=run.state,
        middlewares=run.middlewares,
    )
