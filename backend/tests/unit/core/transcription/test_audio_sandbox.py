"""What the decoder's process may not do. Each rule is tried in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.limits import HUNG_SECONDS

_CONFINED = """
import os, resource, socket, subprocess, sys
from core.transcription.audio_sandbox import close_doors, limit_resources
limit_resources()
close_doors()
try:
{attempt}
except (OSError, MemoryError) as exc:
    print("refused:", type(exc).__name__)
else:
    print("allowed")
"""


def confined(attempt: str) -> subprocess.CompletedProcess[str]:
    program = _CONFINED.format(attempt="".join(f"    {line}\n" for line in attempt.splitlines()))
    return subprocess.run(
        [sys.executable, "-I", "-c", program],
        capture_output=True,
        text=True,
        timeout=HUNG_SECONDS,
        check=False,
    )


@pytest.mark.parametrize(
    "attempt",
    [
        "socket.socket()",
        "socket.create_connection(('127.0.0.1', 80))",
        "open('/etc/passwd')",
        "open('/dev/null')",
        "os.pipe()",
        "os.dup(0)",
        "subprocess.run(['/bin/true'])",
        "bytearray(600 << 20)",
    ],
)
def test_it_is_refused(attempt: str) -> None:
    assert confined(attempt).stdout.startswith("refused: ")


def test_no_file_grows(tmp_path: Path) -> None:
    target = tmp_path / "target"
    program = (
        "import os, signal; from core.transcription.audio_sandbox import limit_resources; "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); limit_resources(); os.write(1, b'x')"
    )
    with target.open("wb") as output:
        done = subprocess.run(
            [sys.executable, "-I", "-c", program],
            stdout=output,
            stderr=subprocess.PIPE,
            timeout=HUNG_SECONDS,
            check=False,
        )

    assert b"File too large" in done.stderr
    assert target.read_bytes() == b""


def test_another_program_does_not_get_as_far_as_its_libraries() -> None:
    done = confined("os.execv(sys.executable, [sys.executable, '-c', 'print(1)'])")

    assert done.returncode != 0
    assert done.stdout == ""


def test_time_is_short() -> None:
    done = confined("print(resource.getrlimit(resource.RLIMIT_CPU))")

    assert done.stdout.startswith("(10, 11)\n")


def test_what_is_open_stays_usable() -> None:
    assert confined("os.write(1, b'still here, ')").stdout == "still here, allowed\n"
