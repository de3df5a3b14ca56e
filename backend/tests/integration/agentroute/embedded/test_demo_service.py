"""The demo model of an instance: its port is its own before, between and after its processes."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.limits import HUNG_SECONDS

from agentroute.embedded.demo_service import DemoService


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[DemoService]:
    demo = DemoService(data_dir=tmp_path, env={}, stop_seconds=5.0)
    with demo._socket:
        yield demo
        demo.stop()


def wait_until_ready(demo: DemoService) -> None:
    give_up_at = time.monotonic() + HUNG_SECONDS
    while not demo.ready:
        assert demo.running, demo.tail()
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def test_nobody_takes_the_port_before_the_start_and_between_two(demo: DemoService) -> None:
    def nobody_else() -> None:
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", demo.port))

    nobody_else()
    # Refused, not waited for.
    with pytest.raises(ConnectionRefusedError), closing(socket.create_connection(("127.0.0.1", demo.port))):
        pass
    demo.start()
    wait_until_ready(demo)
    assert demo.pid is not None
    os.kill(demo.pid, signal.SIGKILL)
    while demo.running:
        time.sleep(0.01)
    nobody_else()

    # Asked while no process listens: the next one answers.
    waiting = http.client.HTTPConnection("127.0.0.1", demo.port, timeout=HUNG_SECONDS)
    waiting.request("GET", "/v1/models")
    demo.start()
    with closing(waiting):
        assert waiting.getresponse().status == http.client.OK
    wait_until_ready(demo)
