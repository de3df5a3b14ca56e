"""``agentroute keys`` against a database: the first admin's key, and every later change of it."""

from __future__ import annotations

import asyncio
import getpass
import json

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from agentroute import command_database
from agentroute.cli import app
from core.api_keys.key_form import read_key
from core.api_keys.key_store import KeyStore
from core.api_keys.keyring import KeyGrant, Keyring
from core.config import DatabaseSettings
from core.database import create_engine
from core.errors import InvalidToken


@pytest.fixture(autouse=True)
def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AGENT_DATABASE__URL", database_url)
    # It would take the logging of the test process along.
    monkeypatch.setattr(command_database, "configure_logging", lambda _settings: None)
    return database_url


def keys(*arguments: str) -> Result:
    with capture_logs() as lines:
        result = CliRunner().invoke(app, ["keys", *arguments])
    assert "ar_" not in str(lines)
    return result


def verify(key: str, database_url: str) -> KeyGrant:
    async def check() -> KeyGrant:
        engine = create_engine(
            DatabaseSettings.model_validate({"url": database_url}), application_name="test"
        )
        try:
            return await Keyring(KeyStore(engine).load).verify(key)
        finally:
            await engine.dispose()

    return asyncio.run(check())


def test_a_key_from_the_first_day_to_the_last(database: str) -> None:
    assert keys("list").stdout == "There are no live API keys.\n"
    made = keys("create", "--user", "ops", "--scope", "admin", "--name", "First admin", "--days", "30")
    key = made.stdout.strip()
    key_id = read_key(key).key_id
    # Alone on standard output, so that a script can take it.
    assert (made.exit_code, made.stdout) == (0, f"{key}\n")
    assert "shown once" in made.stderr
    assert key not in made.stderr
    grant = verify(key, database)
    assert (grant.tenant_id, grant.user_id, grant.scopes) == ("default", "ops", {"admin"})

    rotated = keys("rotate", key_id, "--overlap-hours", "1")
    newer = rotated.stdout.strip()
    assert "The secret before stays good until" in rotated.stderr
    assert (verify(key, database).version, verify(newer, database).version) == (1, 2)

    (listed,) = json.loads(keys("list", "--json").stdout)
    assert (listed["keyId"], listed["tenantId"], listed["name"]) == (key_id, "default", "First admin")
    assert listed["createdBy"] == listed["rotatedBy"] == f"cli:{getpass.getuser()}"
    table = keys("list", "--user", "ops").stdout.splitlines()
    assert table[0].split() == ["KEY", "TENANT/USER", "SCOPES", "STATE", "EXPIRES", "LAST", "USED", "NAME"]
    assert table[1].startswith(f"{key_id}  default/ops  admin   live")

    # A whole key that was found somewhere names itself.
    revoked = keys("revoke", key)
    assert (revoked.exit_code, key in revoked.output) == (0, False)
    for secret in (key, newer):
        with pytest.raises(InvalidToken, match="revoked"):
            verify(secret, database)
    assert keys("list").stdout == "There are no live API keys.\n"
    assert "revoked" in keys("list", "--all").stdout
    assert keys("rotate", key_id).exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "exit_code", "told"),
    [
        (["create"], 2, "--user"),
        (["create", "--user", " "], 2, "userId must be visible text"),
        (
            ["create", "--user", "a", "--scope", "everything"],
            2,
            "scopes must be run, read, admin or agent:NAME",
        ),
        (["create", "--user", "a", "--days", "367"], 2, "expiresInDays must be 1 to 366, or never"),
        (["create", "--user", "a", "--days", "1", "--never-expires"], 2, "not both"),
        (["revoke", "nosuchkey123"], 1, "There is no such API key."),
        (["revoke", "no key"], 2, "neither the id of an API key nor an API key"),
        *(
            (["rotate", "nosuchkey123", "--overlap-hours", hours], 2, "--overlap-hours")
            for hours in ("inf", "-inf", "nan", "-1", "168.1", "1e400", "", "day")
        ),
        (["rotate", "nosuchkey123", "--overlap-hours", "0.5"], 1, "There is no such API key."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_a_command_refuses(arguments: list[str], exit_code: int, told: str) -> None:
    result = keys(*arguments)

    assert result.exit_code == exit_code, result.output
    assert told in result.stderr


def test_a_key_that_never_expires_has_to_be_asked_for() -> None:
    keys("create", "--user", "a", "--never-expires", "--agent", "sales", "--agent", "support")

    (listed,) = json.loads(keys("list", "--json").stdout)
    assert "expiresAt" not in listed
    assert listed["scopes"] == ["agent:sales", "agent:support", "read", "run"]
