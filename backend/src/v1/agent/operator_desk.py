"""The ports of operators: what they see of other users' runs, and what they do to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from core.agentscope.events.queries.run_diagnoses import RunFilter
from core.agentscope.schemas.agent_runtime import RunStatus
from core.agentscope.schemas.run_diagnosis import (
    OperatorRunListResponse,
    OperatorRunResponse,
    RequeuedResponse,
)


class OperatorReads(Protocol):
    """Looks at runs."""

    async def list_runs(
        self, wanted: RunFilter, *, limit: int, before: str | None = None
    ) -> OperatorRunListResponse:
        """Return a page of runs, newest first.

        Raises:
            InvalidRequest: ``before`` comes from no page, or a thread is named without its user.
        """
        ...

    async def get_run(self, run_pk: int, *, tenant_id: str | None) -> OperatorRunResponse:
        """Return a run, with why it is where it is.

        Raises:
            NotFound: There is no such run of the tenant.
        """
        ...


class OperatorWrites(Protocol):
    """Changes runs."""

    async def cancel(self, run_pk: int, *, tenant_id: str | None, by: str) -> RunStatus:
        """Ask a run to stop. It is idempotent.

        Raises:
            NotFound: There is no such run of the tenant.
            RunAlreadyFinished: The run ended before.
        """
        ...

    async def requeue(self, run_pk: int, *, tenant_id: str | None, by: str) -> RequeuedResponse:
        """Tell workers of a run again, where nothing is executed twice.

        Raises:
            NotFound: There is no such run of the tenant.
            RequeueRefused: It is not possible; ``detail`` says why.
        """
        ...


@dataclass(frozen=True, slots=True)
class OperatorDesk:
    """Both."""

    reads: OperatorReads
    writes: OperatorWrites
