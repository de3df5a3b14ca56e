"""What the API asks on its line: the model, another one, the processes, a kill."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import SecretStr

from agentroute.embedded.api_service import ApiService, SupervisorLine
from agentroute.embedded.control import Control, Controlled
from agentroute.embedded.handover import HasWorker, WorkerHandover
from agentroute.embedded.model_change import ModelChange
from agentroute.embedded.model_choice import ModelChoice
from agentroute.embedded.model_use import ModelUse
from agentroute.embedded.supervisor import ServiceReport
from core.config import ModelSettings, Settings

BEGAN = datetime(2026, 11, 27, 12, tzinfo=UTC)
CHOICE = {"base_url": "https://api.example.com/v1", "name": "large", "api_key": "sk-1"}


class Part:
    """A worker, the API, Valkey or the demo, as the test says."""

    def __init__(self, title: str, pid: int, number: int = 1) -> None:
        self.title, self.number, self.pid = title, number, pid
        self.running, self.ready = True, False
        self.ready_at: datetime | None = BEGAN + timedelta(seconds=2)
        self.line: SupervisorLine | None = None

    def tail(self, lines: int = 10) -> list[str]:
        return ["error: agent.py:1: it is broken"]

    def ended(self) -> None: ...

    def note_ready(self) -> None:
        self.ready_at = BEGAN

    def hang_up(self) -> None:
        if self.line is not None:
            self.line.close()
        self.line = None


class Model:
    """The model of the instance, without processes."""

    def __init__(self) -> None:
        self.choice: ModelChoice | None = None
        self.demo: Part | None = None
        self.kept: list[ModelChoice | None] = []
        self.disk_is_full = False
        self.variables: list[str] = []

    @property
    def source(self) -> str:
        return "demo" if self.choice is None else "chosen"

    @property
    def settings(self) -> Settings:
        chosen = self.choice or ModelChoice("http://127.0.0.1:1/v1", "demo", SecretStr(""))
        return Settings(
            model=ModelSettings(base_url=chosen.base_url, name=chosen.name, api_key=chosen.api_key)
        )

    def take(self, choice: ModelChoice | None) -> Any:
        before, self.choice = self.choice, choice
        return lambda: setattr(self, "choice", before)

    def keep(self) -> None:
        if self.disk_is_full:
            raise OSError(28, "No space left on device")
        self.kept.append(self.choice)


class Service:
    """An instance with its supervisor: both write down what is asked of them."""

    def __init__(self) -> None:
        self.journal: list[str] = []
        self.supervisor = self
        self.worker, self.api, self.valkey = Part("Worker", 11), Part("API", 12), Part("Valkey", 13)
        self.model = Model()
        self.new: list[Part] = []
        self.refuses_kill = self.no_process_starts = False
        ours, self.theirs = socket.socketpair()
        self.api.line = SupervisorLine(ours)
        self.handover = WorkerHandover(cast("HasWorker", cast("Any", self)))
        self.clock = 0.0
        change = ModelChange(
            cast("ModelUse", cast("Any", self.model)),
            self.handover,
            renew_api=lambda: self.journal.append("renew the API"),
            say=self.journal.append,
            clock=lambda: self.clock,
        )
        self.control = Control(cast("Controlled", cast("Any", self)), change)

    def new_worker(self, number: int) -> Part:
        self.new.append(Part("Worker", 20 + number, number))
        return self.new[-1]

    def start(self, service: Part, **_options: object) -> None:
        self.journal.append(f"start {service.number}")
        if self.no_process_starts:
            raise OSError(28, "No space left on device")

    def replace(self, old: Part, new: Part) -> None:
        self.journal.append(f"replace {old.number} by {new.number}")

    def dismiss(self, service: Part) -> None:
        self.journal.append(f"dismiss {service.number}")

    def report(self, service: Part) -> ServiceReport:
        return ServiceReport(service.pid if service.running else None, BEGAN, BEGAN, 3)

    def kill(self, service: Part) -> int | None:
        return None if self.refuses_kill else service.pid

    def ask(self, **question: Any) -> dict[str, Any] | None:
        """Send a question and let the supervisor have its turn; returns the answer, if there is one already."""
        self.theirs.sendall(json.dumps({"id": 7, **question}).encode() + b"\n")
        self.control.turn()
        return self.answer()

    def answer(self) -> dict[str, Any] | None:
        try:
            answer = json.loads(self.theirs.recv(65536, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return None
        assert answer.pop("id") == 7
        return answer


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.theirs.close()
    service.api.hang_up()


def test_a_model_is_used_when_its_worker_is_ready_and_is_kept_then(service: Service) -> None:
    assert service.ask(ask="model") == {
        "source": "demo",
        "base_url": "http://127.0.0.1:1/v1",
        "name": "demo",
        "api_key": "",
        "variables": [],
    }
    assert service.ask(ask="use", choice=CHOICE) is None
    assert service.control.turn() is not None
    assert service.model.kept == []
    service.new[0].ready = True

    assert service.control.turn() is None
    assert service.answer() == {"refused": ""}
    assert service.journal == [
        "start 2",
        "replace 1 by 2",
        "Model: large at https://api.example.com/v1. New runs use it.",
        "renew the API",
    ]
    assert [choice and choice.name for choice in service.model.kept] == ["large"]
    assert cast("Any", service.worker) is service.new[0]


def _ends(service: Service) -> None:
    service.new[0].running = False


def _hangs(service: Service) -> None:
    service.clock = 1000.0


def _is_ready_on_a_full_disk(service: Service) -> None:
    service.new[0].ready = service.model.disk_is_full = True


@pytest.mark.parametrize(
    ("happens", "reason"),
    [
        (_ends, "the new worker did not start: agent.py:1: it is broken"),
        (_hangs, "the new worker was not ready after 120 s"),
        (
            _is_ready_on_a_full_disk,
            "the choice cannot be kept in the data directory: No space left on device",
        ),
    ],
)
def test_a_model_that_cannot_be_used_leaves_the_one_before(
    service: Service, happens: Any, reason: str
) -> None:
    before = service.worker
    service.ask(ask="use", choice=CHOICE)
    happens(service)
    service.control.turn()

    assert service.answer() == {"refused": reason}
    assert service.worker is before
    assert service.model.choice is None
    assert service.journal[1:] == ["dismiss 2", f"The model was not changed: {reason}"]
    assert not service.handover.active


def test_a_worker_that_cannot_be_started_leaves_the_model_before(service: Service) -> None:
    service.no_process_starts = True
    reason = "a new process cannot be started: No space left on device"
    assert service.ask(ask="use", choice=CHOICE) == {"refused": reason}

    assert service.model.choice is None
    assert service.journal == ["start 2", "dismiss 2", f"The model was not changed: {reason}"]
    assert not service.handover.active
    assert service.control.turn() is None


def test_a_change_waits_while_changed_files_are_taken_into_use(service: Service) -> None:
    service.handover.begin()
    service.ask(ask="use", choice=CHOICE)
    assert service.model.choice is None
    service.handover.end()
    service.control.turn()

    assert service.model.choice is not None


def test_the_demo_is_used_again_only_when_it_answers(service: Service) -> None:
    service.model.choice = ModelChoice("https://api.example.com/v1", "large", SecretStr(""))
    service.model.demo = Part("Model", 14)
    service.ask(ask="use", choice=None)
    service.new[0].ready = True
    service.control.turn()
    assert service.model.kept == []
    service.model.demo.ready = True
    service.control.turn()

    assert service.model.kept == [None]
    assert service.journal[2] == "Model: the scripted demo. New runs use it."


@pytest.mark.parametrize("name", ["worker", "api", "redis"])
def test_a_killed_process_says_when_it_was_back(service: Service, name: str) -> None:
    part = {"worker": service.worker, "api": service.api, "redis": service.valkey}[name]
    killed = service.ask(ask="kill", process=name)
    assert killed is not None
    assert killed["pid"] == part.pid

    def seen() -> dict[str, Any]:
        answer = service.ask(ask="processes")
        assert answer is not None
        return next(each for each in answer["processes"] if each["name"] == name)

    # The system has not told yet, then it has, then another process is importing, then it is ready.
    assert seen()["lastKill"] == {"pid": part.pid, "killedAt": killed["killedAt"], "backAt": None}
    part.running = False
    assert (seen()["state"], seen()["pid"]) == ("down", None)
    part.running, part.pid, ready_at, part.ready_at = True, 99, part.ready_at, None
    if name != "redis":
        assert seen()["state"] == "starting"
    part.ready_at = ready_at
    again = seen()
    assert (again["state"], again["pid"], again["restarts"]) == ("running", 99, 3)
    assert again["lastKill"]["backAt"] == again["readyAt"]


def test_what_cannot_be_killed_is_refused_in_words(service: Service) -> None:
    service.refuses_kill = True
    assert service.ask(ask="kill", process="worker") == {
        "refused": "Worker is just being started again. Wait until it runs."
    }
    assert service.ask(ask="kill", process="postgres") == {"refused": "There is no such process."}
    service.valkey = cast("Any", None)
    answer = service.ask(ask="kill", process="redis")
    assert answer is not None
    assert "AGENT_REDIS__URL" in answer["refused"]
    answer = service.ask(ask="processes")
    assert answer is not None
    assert answer["processes"][2]["state"] == "elsewhere"
    assert service.ask(ask="anything") == {"unknown": True}


def test_the_line_ends_with_its_process(service: Service) -> None:
    assert len(service.control.heard()) == 1
    service.ask(ask="ready")
    assert service.api.ready_at == BEGAN
    service.theirs.close()
    service.control.turn()

    assert service.control.heard() == []


@pytest.mark.parametrize("sent", [b"no json\n", b"[1]\n", b"x" * 70_000])
def test_whoever_does_not_speak_the_language_is_not_heard_any_more(sent: bytes) -> None:
    ours, theirs = socket.socketpair()
    line = SupervisorLine(ours)
    with theirs:
        theirs.setblocking(False)
        rest = sent
        found: Any = []
        while found is not None and (rest or found == []):
            rest = rest[theirs.send(rest) :] if rest else rest
            found = line.read()
        assert found is None
    line.close()
    line.send({"to": "nobody"})


def test_only_the_api_process_gets_the_line_and_each_start_has_one_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "echo.py").write_text(
        'import socket, sys\nline = socket.socket(fileno=int(sys.argv[-1]))\nline.sendall(b\'{"ask": "ready"}\\n\')\nline.recv(1)'
    )
    api = ApiService(
        data_dir=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        options=(),
        stop_seconds=1,
        probe=lambda _service: True,
    )
    api._command[-2:] = ["echo"]
    for _ in range(2):
        api.start()
        assert api.line is not None
        api.line._socket.setblocking(True)
        assert api.line.read() == [{"ask": "ready"}]
        assert api.ready_at is None
        api.note_ready()
        api.stop()
        assert api.line.read() is None
    api.hang_up()
