"""Tests of the worker of an instance: whose runs are repaired when, over real processes that do nothing else."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.limits import HUNG_SECONDS

from agentroute.embedded.worker_service import WorkerService

_WORKER = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN if "--deaf" in sys.argv else lambda *_: sys.exit(0))
pathlib.Path(sys.argv[sys.argv.index("--ready-file") + 1]).touch()
time.sleep(600)
"""

# Writes down whose runs it repairs; waits while it is told to, and fails when it is told to.
_REPAIR = """
import pathlib, sys, time
here = pathlib.Path(__file__).parent
with (here / "repairs").open("a") as repairs:
    repairs.write(" ".join(sorted(sys.argv[1:])) + "\\n")
while (here / "hold").exists():
    time.sleep(0.01)
sys.exit((here / "fail").exists())
"""


class Instance:
    """The part of an instance that is tested: a worker, and in place of its programs ones that do nothing."""

    def __init__(self, directory: Path) -> None:
        self.data = directory / "data"
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
        )

    def start(self, *extra: str) -> str:
        """Start a process of the worker; returns its name."""
        before = self.names
        self.worker.start(extra)
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
    instance: Instance,
) -> None:
    instance.worker = instance.open(stop_seconds=0.01)
    name = instance.start("--deaf")

    instance.worker.stop()

    assert (instance.names, instance.repairs) == (set(), [{name}])


def test_the_first_start_after_a_crash_of_everything_repairs_what_it_left(instance: Instance) -> None:
    name = instance.start()
    crashed = instance.worker

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


def _repairs_now(instance: Instance) -> bool:
    return (instance.data / "logs" / "lost-workers.pid").exists()
