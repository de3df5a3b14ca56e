"""Tests of child processes: logs, stopping, and what a parent leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.limits import HUNG_SECONDS

from agentroute.embedded import child_process
from agentroute.embedded.child_process import ChildProcess, stop_leftover

_DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"

_PARENT = """
import pathlib, sys
from agentroute.embedded.child_process import ChildProcess

directory = pathlib.Path(sys.argv[1])
code = "import time; time.sleep(60)"
child = ChildProcess([sys.executable, "-c", code], log_path=directory / "log", pid_path=directory / "pid")
print(child.pid, flush=True)
sys.stdin.read()
"""

Spawn = Callable[..., ChildProcess]


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawn]:
    """Start a Python child that runs some code; killed after the test."""
    children: list[ChildProcess] = []

    def start(code: str) -> ChildProcess:
        child = ChildProcess(
            [sys.executable, "-c", code], log_path=tmp_path / "log", pid_path=tmp_path / "pid"
        )
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()


def _wait_for_output(child: ChildProcess, text: str) -> None:
    while text not in child.output():
        assert not child.wait(0.02) or text in child.output(), "the child ended without the text"


def test_the_log_has_both_outputs_and_earlier_lines(spawn: Spawn, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("earlier\n")

    child = spawn("import sys; print('out', flush=True); print('err', file=sys.stderr)")
    assert child.wait(HUNG_SECONDS)

    assert child.output() == "out\nerr\n"
    assert (tmp_path / "log").read_text() == "earlier\nout\nerr\n"


def test_the_tail_is_the_last_lines(spawn: Spawn) -> None:
    child = spawn("for number in range(50): print(number)")
    assert child.wait(HUNG_SECONDS)

    assert child.tail(2) == ["48", "49"]


def test_a_long_log_is_moved_away(spawn: Spawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "_MAX_LOG_BYTES", 10)
    (tmp_path / "log").write_text("a long history\n")

    assert spawn("print('new')").wait(HUNG_SECONDS)

    assert (tmp_path / "log").read_text() == "new\n"
    assert (tmp_path / "log.1").read_text() == "a long history\n"


def test_the_pid_file_lives_as_long_as_the_child(spawn: Spawn, tmp_path: Path) -> None:
    child = spawn("import time; time.sleep(60)")
    assert (tmp_path / "pid").read_text() == f"{child.pid}\n"

    child.stop([(signal.SIGTERM, HUNG_SECONDS)])

    assert child.exit_code == -signal.SIGTERM
    assert not (tmp_path / "pid").exists()


def test_a_child_that_ignores_the_signal_is_killed(spawn: Spawn) -> None:
    child = spawn(_DEAF)
    _wait_for_output(child, "up")

    child.stop([(signal.SIGTERM, 0.05)])

    assert child.exit_code == -signal.SIGKILL


def test_a_ctrl_c_in_the_terminal_does_not_reach_a_child(spawn: Spawn) -> None:
    child = spawn("import os; print(os.getsid(0) == os.getpid())")
    assert child.wait(HUNG_SECONDS)

    assert child.output() == "True\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes the arguments first")
def test_a_leftover_without_arguments_is_gone_when_it_has_ended(
    spawn: Spawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = spawn(_DEAF)
    _wait_for_output(child, "up")
    line = child_process._command_line(child.pid)
    seen: list[bool] = []

    def without_arguments(pid: int) -> str:
        """Its arguments only once: what Linux shows of a process that is ending, at last of one that has ended."""
        if not seen:
            seen.append(True)
            return line
        seen.append(True)
        if len(seen) == 4:
            os.kill(pid, signal.SIGKILL)
        return ""

    monkeypatch.setattr(child_process, "_command_line", without_arguments)

    assert stop_leftover(tmp_path / "pid", "signal.SIG_IGN", [(signal.SIGTERM, HUNG_SECONDS)])
    assert len(seen) >= 4
    assert not child.running


@pytest.mark.parametrize("steps", [[], [(signal.SIGTERM, 0.05)]], ids=["kill", "ask first"])
def test_a_leftover_is_stopped(
    spawn: Spawn, tmp_path: Path, steps: list[tuple[signal.Signals, float]]
) -> None:
    child = spawn(_DEAF)
    _wait_for_output(child, "up")

    assert stop_leftover(tmp_path / "pid", "signal.SIG_IGN", steps)

    assert child.wait(HUNG_SECONDS)
    assert child.exit_code == -signal.SIGKILL


def test_a_process_without_the_mark_is_left_alone(spawn: Spawn, tmp_path: Path) -> None:
    child = spawn("import time; time.sleep(60)")

    assert not stop_leftover(tmp_path / "pid", "some other program", [])

    assert child.running


@pytest.mark.parametrize("content", ["", "nonsense", "-1", "0", "1", "99999999"])
def test_a_pid_file_that_names_no_process_does_no_harm(tmp_path: Path, content: str) -> None:
    path = tmp_path / "pid"
    path.write_text(content)

    assert not stop_leftover(path, "some program", [(signal.SIGTERM, 0)])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the parent-death signal")
def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    with parent:
        deadline = time.monotonic() + HUNG_SECONDS
        # The program itself: before it, what arms the signal has its arguments, too, and in the instant
        # of the exec there are none.
        while not child_process._command_line(pid).startswith(sys.executable):
            assert time.monotonic() < deadline
            time.sleep(0.01)

        parent.kill()
        assert child_process._wait_until_gone(pid, "time.sleep", 60)


def test_a_child_that_no_start_could_find_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[Any]] = []
    popen = subprocess.Popen

    def note(*args: Any, **options: Any) -> subprocess.Popen[Any]:
        started.append(popen(*args, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", note)
    with pytest.raises(OSError, match="missing"):
        ChildProcess(
            [sys.executable, "-c", "import time; time.sleep(600)"],
            log_path=tmp_path / "log",
            pid_path=tmp_path / "missing" / "pid",
        )

    assert started[-1].returncode == -signal.SIGKILL
