"""Answers what the API asks on its line: which model is used, another model, the processes, and to kill one.

The routes of the embedded mode ask (``agentroute.embedded_api``). Everything here runs in the thread of the supervisor,
because child processes start only there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from pydantic import SecretStr

from agentroute.embedded.api_service import ApiService, SupervisorLine
from agentroute.embedded.local_valkey import LocalValkey
from agentroute.embedded.model_change import ModelChange
from agentroute.embedded.model_choice import ModelChoice
from agentroute.embedded.model_use import ModelUse
from agentroute.embedded.supervisor import Supervisor
from agentroute.embedded.worker_service import WorkerService

_NOT_OURS = "It is a server of your own (AGENT_REDIS__URL), which the service does not start."


class Controlled(Protocol):
    """The instance."""

    supervisor: Supervisor
    worker: WorkerService
    api: ApiService
    valkey: LocalValkey | None
    model: ModelUse


class Control:
    """The supervisor's side of the line.

    Args:
        instance: What is asked about.
        change: Changes its model.
    """

    def __init__(self, instance: Controlled, change: ModelChange) -> None:
        self._instance = instance
        self._change = change
        self._kills: dict[str, tuple[int, datetime]] = {}
        """Of each process that was killed: the last kill."""

    def heard(self) -> list[int]:
        """Return the descriptors on which questions come."""
        line = self._instance.api.line
        return [] if line is None else [line.fileno()]

    def turn(self) -> float | None:
        """Answer what was asked; returns after how many seconds there is more to do, if there is."""
        line = self._instance.api.line
        if line is not None:
            asked = line.read()
            if asked is None:
                self._instance.api.hang_up()
            for question in asked or ():
                self._answer(line, question)
        return self._change.turn()

    def _answer(self, line: SupervisorLine, question: Mapping[str, Any]) -> None:
        ident = question.get("id")
        match question.get("ask"):
            case "ready":
                self._instance.api.note_ready()
            case "model":
                line.send({"id": ident, **self._model()})
            case "use":
                choice = question.get("choice")
                self._change.ask(
                    None if choice is None else _choice(choice),
                    lambda reason: line.send({"id": ident, "refused": reason}),
                )
            case "processes":
                line.send({"id": ident, "processes": [self._process(name) for name in _NAMES]})
            case "kill":
                line.send({"id": ident, **self._kill(str(question.get("process")))})
            case _:
                line.send({"id": ident, "unknown": True})

    def _model(self) -> dict[str, Any]:
        model = self._instance.model
        now = model.settings.model
        return {
            "source": model.source,
            "base_url": now.base_url,
            "name": now.name,
            # Only for the API: the user may keep the key while the name changes.
            "api_key": now.api_key.get_secret_value(),
            "variables": model.variables,
        }

    def _service(self, name: str) -> WorkerService | ApiService | LocalValkey | None:
        instance = self._instance
        services = {"worker": instance.worker, "api": instance.api, "redis": instance.valkey}
        return services.get(name)

    def _process(self, name: str) -> dict[str, Any]:
        service = self._service(name)
        report = None if service is None else self._instance.supervisor.report(service)
        if service is None or report is None:
            return {"name": name, "title": "Redis", "state": "elsewhere", "reason": _NOT_OURS}
        ready_at = None if report.pid is None else self._ready_at(name, report.answered_at)
        kill = self._kills.get(name)
        return {
            "name": name,
            "title": service.title,
            "state": "down" if report.pid is None else "starting" if ready_at is None else "running",
            "pid": report.pid,
            "startedAt": report.started_at.isoformat(),
            "readyAt": None if ready_at is None else ready_at.isoformat(),
            "restarts": report.restarts,
            "lastKill": None if kill is None else self._back(kill, report.pid, ready_at),
        }

    def _ready_at(self, name: str, answered_at: datetime) -> datetime | None:
        if name == "worker":
            return self._instance.worker.ready_at
        return self._instance.api.ready_at if name == "api" else answered_at

    @staticmethod
    def _back(kill: tuple[int, datetime], pid: int | None, ready_at: datetime | None) -> dict[str, Any]:
        killed, at = kill
        # Until the supervisor has seen the end, the killed process still looks as if it ran.
        back = None if pid == killed or ready_at is None else ready_at.isoformat()
        return {"pid": killed, "killedAt": at.isoformat(), "backAt": back}

    def _kill(self, name: str) -> dict[str, Any]:
        service = self._service(name)
        if service is None:
            return {"refused": _NOT_OURS if name == "redis" else "There is no such process."}
        pid = self._instance.supervisor.kill(service)
        if pid is None:
            return {"refused": f"{service.title} is just being started again. Wait until it runs."}
        at = datetime.now(UTC)
        self._kills[name] = (pid, at)
        return {"pid": pid, "killedAt": at.isoformat()}


_NAMES = ("worker", "api", "redis")


def _choice(sent: Mapping[str, Any]) -> ModelChoice:
    return ModelChoice(str(sent["base_url"]), str(sent["name"]), SecretStr(str(sent["api_key"])))
