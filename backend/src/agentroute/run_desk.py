"""What an API process tells of stuck runs, to their owners and to operators; and what operators do about them."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from core.agentscope.events.queries.run_diagnoses import RunDiagnoses
from core.agentscope.events.why.facts import Limits
from core.agentscope.runtime.accept.gateway import AgentRunGateway
from core.agentscope.runtime.accept.operator_runs import OperatorRuns
from core.agentscope.runtime.hints import Hints
from core.config import Settings
from v1.agent.operator_desk import OperatorDesk
from v1.agent.worker_watch import WorkerWatch


def open_run_desk(
    settings: Settings,
    engine: AsyncEngine,
    gateway: AgentRunGateway,
    hints: Hints,
    workers: WorkerWatch,
    default_agent: str,
) -> tuple[RunDiagnoses, OperatorDesk]:
    """Build both ports."""
    limits = Limits.of(settings)
    diagnoses = RunDiagnoses(engine, limits, default_agent=default_agent, hints_away=workers.redis_away)
    return diagnoses, OperatorDesk(diagnoses, OperatorRuns(engine, gateway, hints, settings.worker))
