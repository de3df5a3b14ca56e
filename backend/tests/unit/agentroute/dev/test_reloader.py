"""A changed file: the new worker takes over only when it is ready, and a broken one changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from agentroute.dev.reloader import Instance, Reloader
from agentroute.embedded.handover import HasWorker, WorkerHandover, reason_of


class Process:
    """A worker, the API or a look, as the test says."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.running, self.ready, self.draining = True, False, False
        self.exit_code: int | None = None
        self.runs_left = 0
        self.lines = ["error: agent.py:1: it is broken"]

    def end(self, code: int) -> None:
        self.running, self.exit_code = False, code

    def tail(self, lines: int = 10) -> list[str]:
        return self.lines

    def kill(self) -> None:
        if self.running:
            self.end(-9)

    def ended(self) -> None: ...


class Service:
    """An instance with its supervisor: both write down what is asked of them."""

    def __init__(self) -> None:
        self.journal: list[str] = []
        self.supervisor = self
        self.worker, self.api = Process(1), Process()
        self.api.ready = True
        self.looks: list[Process] = []
        self.shown = "as before"
        self.files: list[Path] = []
        self.new: list[Process] = []
        self.hiding: list[str] = []
        self.handover = WorkerHandover(cast("HasWorker", cast("Any", self)))
        self.reloader = Reloader(
            cast("Instance", cast("Any", self)),
            self._take,
            look=self._look,
            result=lambda: self.shown,
            say=self.journal.append,
            show=lambda reason: self.journal.append(f"shown: {reason}"),
            hiding=lambda: self.hiding,
        )
        self.looks[0].end(0)
        assert self.reloader.turn() is None

    def _take(self) -> list[Path]:
        taken, self.files = self.files, []
        return taken

    def _look(self) -> Process:
        self.looks.append(Process())
        return self.looks[-1]

    def new_worker(self, number: int) -> Process:
        self.new.append(Process(number))
        return self.new[-1]

    def start(self, service: Process, **_options: object) -> None:
        self.journal.append(f"start {service.number}")

    def replace(self, old: Process, new: Process) -> None:
        self.journal.append(f"replace {old.number} by {new.number}")

    def renew(self, service: Process) -> None:
        assert service is self.api
        self.journal.append("renew the API")

    def is_settled(self, service: Process) -> bool:
        return service is self.api

    def dismiss(self, service: Process) -> None:
        self.journal.append(f"dismiss {service.number}")
        service.running = False

    def change(self, *names: str) -> None:
        self.files += map(Path, names)
        self.reloader.turn()

    def becomes_ready(self, shown: str = "as before") -> None:
        self.shown = shown
        self.new[-1].ready = True
        self.looks[-1].end(0)
        self.reloader.turn()


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.mark.parametrize(
    ("shown", "api", "told"),
    [
        ("as before", [], "a new worker."),
        ("something else", ["renew the API"], "a new worker and a new API."),
    ],
)
def test_a_change_is_used_by_a_new_worker_and_by_the_api_only_if_it_shows_the_change(
    service: Service, shown: str, api: list[str], told: str
) -> None:
    old = service.worker
    service.change("tools.py")
    assert service.worker is old
    service.becomes_ready(shown)
    assert cast("Any", service.worker) is service.new[0]
    old.draining, old.runs_left = True, 2
    assert service.reloader.turn() is None

    *journal, reloaded, left = service.journal
    assert journal == ["tools.py changed: reloading ...", "start 2", "replace 1 by 2", *api]
    assert reloaded.startswith("Reloaded in ")
    assert told in reloaded
    assert left == "2 runs end with the code from before."


@pytest.mark.parametrize("broken", ["worker", "look"])
def test_a_change_that_is_broken_leaves_everything_as_it_is(service: Service, broken: str) -> None:
    old = service.worker
    service.change("agent.py")
    (service.new if broken == "worker" else service.looks)[-1].end(1)
    service.reloader.turn()

    assert service.worker is old
    assert service.journal[2:] == [
        "dismiss 2",
        "shown: agent.py:1: it is broken",
        "Not reloaded: the code from before goes on. The next change is the next try.",
    ]
    service.change("agent.py")
    service.becomes_ready()
    assert service.journal[-1] == "replace 1 by 2"


def test_a_change_during_a_try_begins_it_again_and_one_during_the_handover_waits(service: Service) -> None:
    old = service.worker
    service.change("b.py")
    service.change("a.py")
    assert service.journal[2:] == ["dismiss 2", "a.py, b.py changed: reloading ...", "start 2"]
    service.becomes_ready()
    service.change("c.py", "d.py", "e.py", "f.py")
    assert service.journal[-1] == "replace 1 by 2"
    old.draining = True
    service.reloader.turn()
    service.reloader.turn()

    # The old one still ends its runs, so its number is taken.
    assert service.journal[-2:] == ["4 files changed: reloading ...", "start 3"]


def test_a_worker_that_died_before_the_change_is_not_waited_for(service: Service) -> None:
    service.worker.end(1)
    dead = service.worker
    service.change("a.py")
    service.becomes_ready()
    # Whatever becomes of it: nobody asked it to drain.
    dead.running = True
    service.reloader.turn()

    assert service.journal[-1].startswith("Reloaded in ")


def test_a_file_that_would_break_every_process_is_not_tried(service: Service) -> None:
    service.change("agent.py")
    service.hiding = ["email.py hides a module"]
    service.change("email.py")

    assert service.journal[2:] == [
        "dismiss 2",
        "agent.py, email.py changed: reloading ...",
        "shown: email.py hides a module",
        "Not reloaded: the code from before goes on. The next change is the next try.",
    ]
    service.hiding = []
    service.change("email.py")
    assert service.journal[-1] == "start 2"


def test_variables_are_read_once(service: Service) -> None:
    service.change(".env")

    assert service.journal == [".env has changed. It is read once: start `agentroute dev` again to use it."]

    # That of another folder is read by nobody but the user's own code.
    service.change("shop/.env")
    assert service.journal[1:] == ["shop/.env changed: reloading ...", "start 2"]


def test_the_reason_of_an_end_is_its_error_or_its_last_line() -> None:
    assert reason_of(["error: no", "and then this"]) == "no"
    assert reason_of(["Traceback", "KeyError: 3", ""]) == "KeyError: 3"
    assert reason_of([]) == "It ended without a word."
