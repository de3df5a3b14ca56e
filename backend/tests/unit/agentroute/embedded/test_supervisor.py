"""Tests of the supervisor, over real child processes and real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.limits import HUNG_SECONDS

from agentroute.embedded.child_process import ChildProcess
from agentroute.embedded.local_server import LocalServerError
from agentroute.embedded.supervisor import StopRequestedError, Supervisor

_SLEEP = "import time; time.sleep(60)"

# A supervisor in a process of its own, whose one child ignores SIGTERM and may take a minute to stop.
_STUBBORN = """
import pathlib, sys
from agentroute.embedded.python_service import PythonService
from agentroute.embedded.supervisor import Supervisor

directory = pathlib.Path(sys.argv[1])
(directory / "deaf.py").write_text(
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
)
deaf = PythonService(
    "Deaf", ["deaf"], data_dir=directory, env={"PYTHONPATH": str(directory)}, stop_seconds=60,
    probe=lambda service: "up" in service.tail(),
)
with Supervisor(lambda line: print(line, flush=True)) as supervisor:
    supervisor.start(deaf)
    supervisor.wait_until(deaf, lambda: deaf.ready, 10)
    print(deaf.pid, flush=True)
    supervisor.watch()
"""


class Program:
    """A service that runs some Python and writes down what is done to it."""

    def __init__(self, title: str, code: str, directory: Path, journal: list[str]) -> None:
        self.title = title
        self._code = code
        self._directory = directory
        self._journal = journal
        self._child: ChildProcess | None = None

    def start(self) -> None:
        self._journal.append(f"start {self.title}")
        self._child = ChildProcess(
            [sys.executable, "-c", self._code],
            log_path=self._directory / f"{self.title}.log",
            pid_path=self._directory / f"{self.title}.pid",
        )

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    @property
    def pid(self) -> int | None:
        return None if self._child is None else self._child.pid

    def stop(self) -> None:
        self._journal.append(f"stop {self.title}")
        if self._child is not None:
            self._child.stop([(signal.SIGTERM, 10.0)])

    def retire(self) -> float:
        self._journal.append(f"retire {self.title}")
        assert self._child is not None
        self._child.send(signal.SIGTERM)
        return 0.05

    def tail(self, lines: int = 10) -> list[str]:
        return [] if self._child is None else self._child.tail(lines)


class Screen:
    """What the user is shown; asks for a stop when a text has come often enough."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._until = ("", 0)

    def stop_after(self, text: str, times: int) -> None:
        self._until = (text, times)

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        text, times = self._until
        if text in line and sum(text in line for line in self.lines) == times:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def journal() -> list[str]:
    return []


@pytest.fixture
def program(tmp_path: Path, journal: list[str]) -> Callable[[str, str], Program]:
    return lambda title, code: Program(title, code, tmp_path, journal)


@pytest.fixture
def screen() -> Screen:
    return Screen()


@pytest.fixture
def supervisor(screen: Screen) -> Iterator[Supervisor]:
    with Supervisor(screen, first_delay_seconds=0.01) as supervisor:
        yield supervisor


def _ask_to_stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_services_stop_in_the_reverse_order(
    supervisor: Supervisor, program: Callable[[str, str], Program], journal: list[str], screen: Screen
) -> None:
    for title in ("database", "queue", "api"):
        supervisor.start(program(title, _SLEEP))

    supervisor.stop()

    assert journal[3:] == ["stop api", "stop queue", "stop database"]
    assert screen.lines == ["Stopping api ...", "Stopping queue ...", "Stopping database ..."]


def test_a_service_that_ends_is_started_again_with_its_last_words_shown(
    supervisor: Supervisor, program: Callable[[str, str], Program], journal: list[str], screen: Screen
) -> None:
    screen.stop_after("starting it again", 3)
    supervisor.start(program("steady", _SLEEP))
    supervisor.start(program("shaky", "print('last words')"))

    supervisor.watch()

    assert journal == ["start steady", *["start shaky"] * 3]
    first, second, third = screen.lines
    assert first.splitlines() == [
        "shaky stopped; starting it again in 0.01 s. The end of its log:",
        "    last words",
    ]
    assert "in 0.02 s" in second
    assert "in 0.04 s" in third


def test_who_asked_is_told_of_each_end_before_the_next_start(
    supervisor: Supervisor, program: Callable[[str, str], Program], journal: list[str], screen: Screen
) -> None:
    screen.stop_after("starting it again", 2)
    supervisor.start(program("shaky", "pass"), on_end=lambda: journal.append("shaky ended"))

    supervisor.watch()

    assert journal == ["start shaky", "shaky ended"] * 2


def test_a_service_that_cannot_start_again_is_tried_later(
    supervisor: Supervisor,
    program: Callable[[str, str], Program],
    screen: Screen,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen.stop_after("no space", 2)
    service = program("full", "pass")
    supervisor.start(service)

    def refuse() -> None:
        raise LocalServerError("no space is left")

    monkeypatch.setattr(service, "start", refuse)
    supervisor.watch()

    assert screen.lines[1].startswith("no space is left; starting it again in 0.02 s")
    assert screen.lines[2].startswith("no space is left; starting it again in 0.04 s")


def test_a_stop_signal_ends_the_watch(supervisor: Supervisor, program: Callable[[str, str], Program]) -> None:
    supervisor.start(program("api", _SLEEP))

    _ask_to_stop()
    supervisor.watch()

    assert supervisor.stopping


def test_nothing_starts_after_a_stop_signal(
    supervisor: Supervisor, program: Callable[[str, str], Program], journal: list[str]
) -> None:
    _ask_to_stop()

    with pytest.raises(StopRequestedError):
        supervisor.start(program("api", _SLEEP))
    assert journal == []


def test_a_stop_signal_ends_the_wait_for_a_start(
    supervisor: Supervisor, program: Callable[[str, str], Program]
) -> None:
    service = program("api", _SLEEP)
    supervisor.start(service)
    asked: list[bool] = []

    def never_ready() -> bool:
        if not asked:
            asked.append(True)
            _ask_to_stop()
        return False

    with pytest.raises(StopRequestedError):
        supervisor.wait_until(service, never_ready, 60)


def test_a_service_that_ends_while_starting_is_an_error_with_its_last_words(
    supervisor: Supervisor, program: Callable[[str, str], Program]
) -> None:
    service = program("api", "print('no such module')")
    supervisor.start(service)

    with pytest.raises(LocalServerError, match="api stopped while starting") as caught:
        supervisor.wait_until(service, lambda: False, 60)
    assert str(caught.value).endswith("\n    no such module")


def test_a_service_that_never_gets_ready_is_an_error(
    supervisor: Supervisor, program: Callable[[str, str], Program]
) -> None:
    service = program("api", _SLEEP)
    supervisor.start(service)

    with pytest.raises(LocalServerError, match=r"api is not ready after 0 s\."):
        supervisor.wait_until(service, lambda: False, 0.1)


def test_the_signals_are_given_back(screen: Screen) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)]

    with Supervisor(screen):
        assert signal.getsignal(signal.SIGTERM) != before[1]

    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)] == before


def test_a_second_signal_kills_what_does_not_stop(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _STUBBORN, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        owner.send_signal(signal.SIGINT)
        assert owner.stdout.readline() == "Stopping Deaf ...\n"
        owner.send_signal(signal.SIGINT)

        assert owner.wait(HUNG_SECONDS) == 128 + signal.SIGINT
    _assert_gone(pid)


def _assert_gone(pid: int) -> None:
    """The parent is gone, so init reaps the child; until it does, the zombie has no command line.

    A signal is sent before it has worked: a busy machine takes its time.
    """
    command = Path(f"/proc/{pid}/cmdline")
    give_up_at = time.monotonic() + HUNG_SECONDS
    while (read := _read(command)) and time.monotonic() < give_up_at:
        os.sched_yield()
    assert not read


def _read(command: Path) -> bytes:
    try:
        return command.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_a_service_takes_the_place_of_another_one_that_ends_meanwhile(
    supervisor: Supervisor, program: Callable[[str, str], Program], journal: list[str]
) -> None:
    # Deaf: it does not end by itself, so it is killed when its time is over.
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    old, api, new = program("old", deaf), program("api", _SLEEP), program("new", _SLEEP)
    supervisor.start(old, on_end=lambda: journal.append("old ended"))
    supervisor.start(api)
    supervisor.wait_until(old, lambda: old.tail() == ["up"], HUNG_SECONDS)
    supervisor.start(new, again=False, beside=old)

    supervisor.replace(old, new)
    assert old.running
    supervisor.watch(until=lambda: "old ended" in journal)
    supervisor.watch(until=lambda: not old.running)
    supervisor.stop()

    assert journal[3:] == ["retire old", "old ended", "stop api", "stop new"]


def test_a_service_that_died_before_it_was_replaced_never_starts_again(
    supervisor: Supervisor, program: Callable[[str, str], Program], journal: list[str], screen: Screen
) -> None:
    old, unseen, new, later = (program(title, "pass") for title in ("old", "unseen", "new", "later"))
    supervisor.start(old, on_end=lambda: journal.append("old ended"))
    supervisor.watch(until=lambda: bool(screen.lines))
    supervisor.start(unseen, on_end=lambda: journal.append("unseen ended"))
    supervisor.start(new, again=False, beside=old)
    while unseen.running:
        time.sleep(0.01)

    supervisor.replace(unseen, new)
    supervisor.replace(old, new)
    # Its first start again is due after that of the old one.
    supervisor.start(later)
    supervisor.watch(until=lambda: journal.count("start later") == 2)

    assert [journal.count(line) for line in ("start old", "old ended", "start unseen", "unseen ended")] == [
        1
    ] * 4


def test_who_waits_for_a_service_does_not_wait_for_the_time_of_its_next_start(
    program: Callable[[str, str], Program], journal: list[str], screen: Screen
) -> None:
    with Supervisor(screen, first_delay_seconds=10 * HUNG_SECONDS) as supervisor:
        model, api = program("model", "pass"), program("api", "pass")
        for service in (model, api):
            supervisor.start(service)
        supervisor.watch(until=lambda: len(screen.lines) == 2)

        supervisor.wait_until(model, lambda: journal.count("start model") == 2, HUNG_SECONDS)
        supervisor.renew(api)
        supervisor.watch(until=lambda: journal.count("start api") == 2)


def test_a_renewed_service_starts_again_at_once_and_a_dismissed_one_does_not(
    supervisor: Supervisor, program: Callable[[str, str], Program], journal: list[str], screen: Screen
) -> None:
    api, worker = program("api", _SLEEP), program("worker", _SLEEP)
    supervisor.start(api)
    supervisor.start(worker)

    supervisor.renew(api)
    assert not supervisor.is_settled(api)
    supervisor.watch(until=lambda: supervisor.is_settled(api))
    supervisor.dismiss(worker)
    supervisor.dismiss(worker)
    supervisor.stop()

    assert journal[2:] == ["retire api", "start api", "stop worker", "stop api"]
    assert screen.lines == ["Stopping api ..."]


def test_another_thread_can_wake_it_up(supervisor: Supervisor) -> None:
    turns: list[int] = []
    waker = threading.Thread(target=supervisor.wake)

    def turn() -> None:
        turns.append(1)
        if len(turns) == 1:
            waker.start()

    supervisor.watch(turn, until=lambda: len(turns) > 1)

    waker.join()
    assert len(turns) == 2


def test_a_service_that_is_killed_on_request_is_started_again_at_once_and_every_time(
    supervisor: Supervisor, program: Callable[[str, str], Program], journal: list[str], screen: Screen
) -> None:
    service = program("api", _SLEEP)
    supervisor.start(service)
    first = supervisor.report(service)
    assert first is not None
    for again in (1, 2, 3):
        pid = supervisor.kill(service)
        assert pid == service.pid
        supervisor.watch(until=lambda again=again: journal.count("start api") == again + 1)
    report = supervisor.report(service)

    assert report is not None
    assert (report.restarts, report.pid) == (3, service.pid)
    assert report.started_at > first.started_at
    assert screen.lines == ["api was killed on request; starting it again"] * 3
    supervisor.dismiss(service)
    assert supervisor.report(service) is None


def test_a_service_that_is_not_running_is_not_killed(
    supervisor: Supervisor, program: Callable[[str, str], Program], screen: Screen
) -> None:
    ended, retired = program("ended", "pass"), program("retired", _SLEEP)
    supervisor.start(ended)
    supervisor.start(retired)
    supervisor.watch(until=lambda: bool(screen.lines))
    supervisor.renew(retired)

    # One has ended and is due later, the other one was asked to end.
    assert supervisor.kill(ended) is None
    assert supervisor.kill(retired) is None


def test_a_descriptor_that_can_be_read_wakes_the_watch(supervisor: Supervisor) -> None:
    read, write = os.pipe()
    heard: list[bytes] = []
    turns: list[int] = []

    def turn() -> None:
        turns.append(1)
        if len(turns) == 1:
            os.write(write, b"x")
        else:
            heard.append(os.read(read, 1))

    supervisor.watch(turn, until=lambda: bool(heard), heard=lambda: [read])
    os.close(read)
    os.close(write)

    assert heard == [b"x"]
