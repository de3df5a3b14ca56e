"""Which agent a run gets."""

from __future__ import annotations

from typing import Any

import pytest

from core.agent_errors import AgentFixed, AgentUnknown
from core.agentscope.runtime.accept.agent_choice import UsableAgents, agents_for, only_agent
from core.agentscope.runtime.profile.access import ClaimNames
from core.agentscope.runtime.profile.agents import Agents
from core.agentscope.runtime.profile.profile import AgentProfile
from core.agentscope.schemas.agent_runtime import RunOptions
from core.errors import AgentBackendError
from core.identity import Principal

FOLDER = UsableAgents(("sales", "support"), "support", keeps_ids=True)
WITHOUT_DEFAULT = UsableAgents(("sales",), "support", keeps_ids=True)
FILE = UsableAgents(("support",), "support", keeps_ids=False)


def choose(
    agents: UsableAgents,
    named: str | None = None,
    thread: str | None = None,
    *,
    switch: bool = False,
    is_new: bool = False,
    answers: bool = False,
) -> Any:
    """Return the id to store, or the class of the refusal and the ids it tells."""
    options = RunOptions(agent_id=named, switch_agent=switch)
    try:
        return agents.choose(options, thread, is_new=is_new, answers=answers)
    except AgentBackendError as refusal:
        return type(refusal), refusal.members


FIXED = (AgentFixed, {"agentId": "support"})
UNKNOWN = (AgentUnknown, {"agentIds": ["sales", "support"]})
NOT_YOURS = (AgentUnknown, {"agentIds": ["sales"]})
GONE = (AgentUnknown, {"agentIds": ["support"]})


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        (choose(FOLDER, is_new=True), "support"),
        (choose(FOLDER, "sales", is_new=True), "sales"),
        (choose(FOLDER, "no-such", is_new=True), UNKNOWN),
        (choose(WITHOUT_DEFAULT, is_new=True), NOT_YOURS),
        (choose(FOLDER, None, "sales"), "sales"),
        (choose(FOLDER, "sales", "sales"), "sales"),
        (choose(FOLDER, "sales", "support"), FIXED),
        (choose(FOLDER, "sales", "support", switch=True), "sales"),
        (choose(FOLDER, None, "support", switch=True), "support"),
        (choose(FOLDER, "sales", "support", switch=True, answers=True), FIXED),
        (choose(FOLDER, "support", "support", answers=True), "support"),
        (choose(FOLDER, "no-such", "support", switch=True), UNKNOWN),
        # Rows without an agent mean the default; from the next run on, they say so.
        (choose(FOLDER), "support"),
        (choose(FOLDER, "sales"), FIXED),
        (choose(FOLDER, "sales", switch=True), "sales"),
        # An agent that was taken away, or is no longer the user's.
        (choose(FOLDER, None, "gone"), UNKNOWN),
        (choose(FOLDER, "sales", "gone", switch=True), "sales"),
        (choose(WITHOUT_DEFAULT, None, "support"), NOT_YOURS),
        (choose(WITHOUT_DEFAULT, "support", "support"), NOT_YOURS),
        (choose(WITHOUT_DEFAULT), NOT_YOURS),
        # One file keeps no ids, whatever it is called.
        (choose(FILE, is_new=True), None),
        (choose(FILE, "support", is_new=True), None),
        (choose(FILE), None),
        (choose(FILE, None, "support"), "support"),
        (choose(FILE, "sales"), GONE),
        (choose(FILE, None, "sales"), GONE),
        (choose(FILE, "support", "sales", switch=True), "support"),
    ],
)
def test_the_agent_of_a_run(asked: Any, stored: Any) -> None:
    assert asked == stored


def test_a_refusal_says_what_the_caller_may_use() -> None:
    with pytest.raises(AgentUnknown, match=r"No agent of this id exists for you\. You may use: sales\."):
        WITHOUT_DEFAULT.require("support")


def test_each_caller_sees_the_agents_of_the_own_claims() -> None:
    open_to_all = AgentProfile(name="a", description="d")
    for_sales = AgentProfile(name="b", description="d", access=("group:sales",))
    agents = Agents({"sales": for_sales, "support": open_to_all}, "support", keeps_ids=True, paths={})
    usable = agents_for(agents, ClaimNames())

    assert usable(Principal("t", "ada", claims={"groups": ["sales"]})).ids == ("sales", "support")
    assert usable(Principal("t", "bob", claims={})).ids == ("support",)


def test_a_credential_can_be_narrowed_to_agents() -> None:
    profile = AgentProfile(name="a", description="d")
    usable = agents_for(
        Agents({"sales": profile, "support": profile}, "support", keeps_ids=True, paths={}), ClaimNames()
    )
    scopes = frozenset({"run", "read", "agent:sales", "agent:gone"})

    assert usable(Principal("t", "ada", scopes=scopes)).ids == ("sales",)
    assert usable(Principal("t", "ada", scopes=frozenset({"agent:gone"}))).ids == ()


def test_without_profiles_there_is_one_agent_for_everybody() -> None:
    assert only_agent(Principal("t", "u")).choose(RunOptions(), None, is_new=True, answers=False) is None
