"""Tests of the worker of an instance: whose runs are repaired when, over real processes that do nothing else."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from tests.support.limits import HUNG_SECONDS

from agentroute.embedded import worker_service
from agentroute.embedded.python_service import stop_leftovers
from agentroute.embedded.worker_service import WorkerService

_WORKER = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN if "--deaf" in sys.argv else lambda *_: sys.exit(0))
if "--slow" not in sys.argv:
    pathlib.Path(sys.argv[sys.argv.index("--ready-file") + 1]).touch()
time.sleep(600)
"""

# Writes down whose runs it repairs, and deletes their files; waits while it is told to, and fails when it is told to.
_REPAIR = """
import pathlib, sys, time
here, files = pathlib.Path(__file__).parent, [pathlib.Path(file) for file in sys.argv[1:]]
with (here / "repairs").open("a") as repairs:
    repairs.write(" ".join(sorted(file.name for file in files)) + "\\n")
while (here / "hold").exists():
    time.sleep(0.01)
if (here / "fail").exists():
    sys.exit(1)
for file in files:
    file.unlink()
"""


class Instance:
    """The part of an instance that is tested: a worker, and in place of its programs ones that do nothing."""

    def __init__(self, directory: Path) -> None:
        self.data = directory / "data"
        self.said: list[str] = []
        self._package = directory / "agentroute"
        (self._package / "embedded").mkdir(parents=True, exist_ok=True)
        for folder in (self._package, self._package / "embedded"):
            (folder / "__init__.py").touch()
        (self._package / "cli.py").write_text(_WORKER)
        (self._package / "embedded" / "lost_workers.py").write_text(_REPAIR)
        self.worker = self.open()

    def open(self, *, stop_seconds: float = HUNG_SECONDS) -> WorkerService:
        return WorkerService(
            data_dir=self.data,
            env={"PYTHONPATH": str(self._package.parent)},
            stop_seconds=stop_seconds,
            say=self.said.append,
        )

    def start(self, *extra: str) -> str:
        """Start a process of the worker; returns its name."""
        before = self.names
        self.worker.start(extra)
        if "--slow" not in extra:
            until(lambda: self.worker.ready)
        (name,) = self.names - before
        return name

    def kill(self) -> None:
        """Kill the process, and tell the worker as the supervisor does."""
        assert self.worker.pid is not None
        os.kill(self.worker.pid, signal.SIGKILL)
        until(lambda: not self.worker.running)
        self.worker.ended()

    @property
    def names(self) -> set[str]:
        return {path.name for path in (self.data / "workers").glob("*")}

    @property
    def repairs(self) -> list[set[str]]:
        """Whose runs each repair was for."""
        written = self._package / "embedded" / "repairs"
        return [set(line.split()) for line in written.read_text().splitlines()] if written.exists() else []

    def switch(self, name: str, *, on: bool) -> None:
        path = self._package / "embedded" / name
        if on:
            path.touch()
        else:
            path.unlink()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + HUNG_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    instance = Instance(tmp_path)
    yield instance
    instance.worker.stop()


def test_a_killed_process_has_its_runs_repaired_at_once_and_once(instance: Instance) -> None:
    first = instance.start()
    assert instance.repairs == []

    instance.kill()
    until(lambda: not instance.worker.running and not instance.names)
    assert instance.repairs == [{first}]

    second = instance.start()
    assert second != first
    assert instance.repairs == [{first}]


def test_a_process_that_drained_ended_its_runs_itself(instance: Instance) -> None:
    instance.start()

    instance.worker.stop()

    assert (instance.names, instance.repairs) == (set(), [])


def test_a_process_that_is_killed_because_it_does_not_stop_has_its_runs_repaired_before_the_stores_stop(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_service, "_SETTLE_SECONDS", HUNG_SECONDS)
    instance.worker = instance.open(stop_seconds=0.01)
    name = instance.start("--deaf")

    instance.worker.stop()

    assert (instance.names, instance.repairs) == (set(), [{name}])


def test_the_first_start_after_a_crash_of_everything_repairs_what_it_left(instance: Instance) -> None:
    name = instance.start()
    crashed = instance.worker

    stop_leftovers(instance.data)
    instance.worker = instance.open()  # nobody told the old one that its process ended
    instance.start()

    until(lambda: instance.worker.running and name not in instance.names)
    assert instance.repairs == [{name}]
    assert not crashed.running


def test_a_repair_that_failed_is_made_by_the_next_start(instance: Instance) -> None:
    instance.switch("fail", on=True)
    first = instance.start()
    instance.kill()
    until(lambda: not instance.worker.running and len(instance.repairs) == 1 and not _repairs_now(instance))
    assert instance.names == {first}

    instance.switch("fail", on=False)
    second = instance.start()
    until(lambda: instance.worker.running and instance.names == {second})

    assert instance.repairs == [{first}, {first}]


def test_a_process_that_ends_during_a_repair_has_its_runs_repaired_next(instance: Instance) -> None:
    instance.switch("hold", on=True)
    first = instance.start()
    instance.kill()
    until(lambda: instance.repairs)
    second = instance.start()
    instance.kill()
    assert instance.names == {first, second}

    instance.switch("hold", on=False)
    until(lambda: not instance.worker.running and not instance.names)

    assert instance.repairs == [{first}, {second}]


def test_a_process_that_never_was_ready_has_claimed_nothing(instance: Instance) -> None:
    instance.start("--slow")

    instance.kill()

    assert (instance.names, instance.repairs) == (set(), [])
    assert not _repairs_now(instance)


def test_a_start_that_fails_does_not_wait_for_the_repair_of_a_crash(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_service, "_SETTLE_SECONDS", HUNG_SECONDS)
    instance.switch("hold", on=True)
    name = instance.start()
    crashed = instance.worker
    stop_leftovers(instance.data)
    instance.worker = instance.open()
    instance.start("--slow")
    began = time.monotonic()

    instance.worker.stop()

    assert time.monotonic() - began < HUNG_SECONDS
    assert instance.names == {name}
    assert not crashed.running
    assert not _repairs_now(instance)


def test_a_stop_waits_for_the_repair_that_follows_another(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_service, "_SETTLE_SECONDS", HUNG_SECONDS)
    instance.switch("hold", on=True)
    first = instance.start()
    instance.kill()
    until(lambda: instance.repairs)
    second = instance.start()
    assert instance.worker.pid is not None
    os.kill(instance.worker.pid, signal.SIGKILL)  # as a machine without memory does, just before the stop

    instance.switch("hold", on=False)
    instance.worker.stop()

    assert (instance.names, instance.repairs) == (set(), [{first}, {second}])


def test_a_stop_begins_no_repair_after_its_patience(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_service, "_SETTLE_SECONDS", 0.0)
    instance.switch("hold", on=True)
    first = instance.start()
    instance.kill()
    until(lambda: instance.repairs)
    second = instance.start()
    assert instance.worker.pid is not None
    os.kill(instance.worker.pid, signal.SIGKILL)

    # The repair ends well, but the worker has not asked for its end when it is stopped.
    repair = int((instance.data / "logs" / "lost-workers.pid").read_text())
    instance.switch("hold", on=False)
    os.waitid(os.P_PID, repair, os.WEXITED | os.WNOWAIT)
    monkeypatch.setattr(worker_service, "ChildProcess", _refuse)
    instance.worker.stop()

    assert (instance.names, instance.repairs, instance.said) == ({second}, [{first}], [])
    assert not _repairs_now(instance)


def test_a_repair_that_cannot_start_ends_nothing_else_and_is_made_by_the_next_start(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = instance.start()
    with monkeypatch.context() as patch:
        patch.setattr(worker_service, "ChildProcess", _refuse)
        instance.kill()
        assert not instance.worker.running
        instance.worker.stop()
    (line,) = instance.said
    assert "Cannot allocate memory" in line
    assert (instance.names, instance.repairs) == ({first}, [])

    second = instance.start()
    until(lambda: instance.worker.running and instance.names == {second})

    assert instance.repairs == [{first}]


def _refuse(*_: object, **__: object) -> NoReturn:
    raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


def _repairs_now(instance: Instance) -> bool:
    return (instance.data / "logs" / "lost-workers.pid").exists()


def test_a_second_worker_of_an_instance_does_not_repair_the_first(instance: Instance) -> None:
    alive = set[str]()
    first, second = (
        WorkerService(
            data_dir=instance.data,
            env={"PYTHONPATH": str(instance._package.parent)},
            stop_seconds=HUNG_SECONDS,
            say=instance.said.append,
            number=number,
            alive=alive,
        )
        for number in (1, 2)
    )
    first.start()
    until(lambda: first.ready)
    names = instance.names
    second.start()
    until(lambda: second.ready)

    assert first.pid != second.pid
    assert first.log_path != second.log_path
    assert instance.names > names
    assert instance.repairs == []
    assert not first.draining
    first._ready_file.write_text("3")
    assert (first.draining, first.runs_left, second.draining) == (True, 3, False)
    first.retire()
    until(lambda: not first.running)
    first.ended()
    second.stop()
    assert alive == set()
