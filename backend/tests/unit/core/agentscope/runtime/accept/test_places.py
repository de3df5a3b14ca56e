"""How long the queue may be for a run to be accepted in one round trip."""

from __future__ import annotations

from core.agentscope.runtime.accept.places import NEARLY_FULL, sure_places
from core.config import LimitSettings
from core.identity import LOCAL, Principal

LIMITS = LimitSettings(max_queued_runs=1000, tenant_queue_share=0.5)


def test_where_there_are_no_tenants_nobody_pays_for_their_shares() -> None:
    assert sure_places(Principal("t", "ada"), LIMITS) == 500 - NEARLY_FULL
    assert sure_places(LOCAL, LIMITS) == 1000 - NEARLY_FULL
    whole = LIMITS.model_copy(update={"tenant_queue_share": 1.0})
    assert sure_places(Principal("t", "ada"), whole) == sure_places(LOCAL, whole)
