"""The embedded service takes its secrets from files, and waits for its API where the API says that it is ready."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import jwt
from tests.support.embedded_service import embedded_service
from tests.support.limits import HUNG_SECONDS
from tests.support.ports import reserved_port

SECRET = "a-secret-of-more-than-thirty-two-bytes"


def test_it_starts_with_a_secret_in_a_file_and_its_probes_on_the_port_of_operators(tmp_path: Path) -> None:
    secret = tmp_path / "signing"
    secret.write_text(f"{SECRET}\n")
    admin_port = reserved_port()
    env = {
        "AGENT_IDENTITY__JWT_SECRET_FILE": str(secret),
        "AGENT_SERVER__ADMIN_PORT": str(admin_port),
        "AGENT_SERVER__ADMIN_ONLY": '["docs", "readyz"]',
    }
    now = int(time.time())
    token = jwt.encode({"sub": "ada", "iat": now, "exp": now + 3600}, SECRET, algorithm="HS256")

    with embedded_service(tmp_path / "data", env) as url, httpx.Client(timeout=HUNG_SECONDS) as client:
        asked = {
            "with the secret": client.get(f"{url}/threads", headers={"Authorization": f"Bearer {token}"}),
            "without": client.get(f"{url}/threads"),
            "moved": client.get(httpx.URL(url).join("/readyz")),
            "there": client.get(f"http://127.0.0.1:{admin_port}/readyz"),
            "docs there": client.get(f"http://127.0.0.1:{admin_port}/openapi.json"),
        }

    assert {name: answer.status_code for name, answer in asked.items()} == {
        "with the secret": 200,
        "without": 401,
        "moved": 404,
        "there": 200,
        "docs there": 200,
    }
