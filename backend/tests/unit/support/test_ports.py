"""Two tests are never given the same port, in one process or in two."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.support import ports
from tests.support.ports import reserved_port


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[range]:
    """Three ports that nobody uses are all that there are."""
    for start in range(19_000, 20_000, 3):
        taken = [socket.socket() for _ in range(3)]
        try:
            for offset, one in enumerate(taken):
                one.bind(("127.0.0.1", start + offset))
        except OSError:
            continue
        finally:
            for one in taken:
                one.close()
        monkeypatch.setattr(ports, "_PORTS", range(start, start + 3))
        held = len(ports._held)
        yield range(start, start + 3)
        while len(ports._held) > held:
            os.close(ports._held.pop())
        return
    pytest.fail("no three ports are free")


def test_a_reserved_port_is_nobody_elses(few: range) -> None:
    mine = {reserved_port(), reserved_port()}
    assert len(mine) == 2

    other = (
        "from tests.support import ports\n"
        f"ports._PORTS = {few!r}\n"
        "print(ports.reserved_port(), flush=True)\n"
        "try:\n    ports.reserved_port()\n"
        "except OSError as exc:\n    print(exc)\n"
    )
    said = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == [str(*(set(few) - mine)), "no port is free"]


def test_a_port_that_somebody_listens_on_is_passed_over(few: range) -> None:
    with socket.create_server(("127.0.0.1", few[0])), socket.create_server(("127.0.0.1", few[2])):
        assert reserved_port() == few[1]
