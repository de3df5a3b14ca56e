"""Every secret can come from a file; what leads to no secret is a line that names the variable and shows nothing."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import AfterValidator, BaseModel, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from agentroute.settings_errors import InvalidSettings, load_settings
from core.config import Settings, unknown_variables
from core.redaction import Redactor, secrets_of
from core.secret_files import MAX_BYTES, SUFFIX, read_secret, secret_variables

SECRET = "a-secret-of-more-than-thirty-two-bytes"
KEY = "AGENT_MODEL__API_KEY"
JWT = "AGENT_IDENTITY__JWT_SECRET"
SAMPLES = {
    "AGENT_DATABASE__URL": "postgresql://agentroute:house-password@db.example.com/agentroute",
    "AGENT_DATABASE__REPLICA_URL": "postgresql://agentroute:house-password@replica.example.com/agentroute",
    "AGENT_REDIS__URL": "rediss://agentroute:house-password@redis.example.com:6379/0",
    "AGENT_FILES__URL": "s3://shop-files/agentroute",
    JWT: SECRET,
    "AGENT_IDENTITY__JWT_SECRETS": json.dumps([{"kid": "next", "secret": SECRET}]),
    "AGENT_SECRETS__KEY": base64.b64encode(bytes(range(32))).decode(),
    "AGENT_WEBHOOKS__ENDPOINTS": json.dumps(
        [
            {
                "name": "crm",
                "url": "https://example.com/house-password",
                "secrets": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            }
        ]
    ),
}
"""Values of secrets that not every text can be."""
PAIRS = {"AGENT_FILES__ACCESS_KEY": "AGENT_FILES__SECRET_KEY"}


def written(folder: Path, content: str | bytes) -> str:
    path = folder / "secret"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def problems() -> list[str]:
    with pytest.raises(InvalidSettings) as caught:
        load_settings()
    return caught.value.problems


def test_the_secrets_are_those_that_the_types_say() -> None:
    class Entry(BaseModel):
        name: str
        secret: SecretStr

    class Section(BaseModel):
        plain: str = ""
        key: Annotated[SecretStr, AfterValidator(lambda value: value)] = SecretStr("")
        perhaps: SecretStr | None = None
        several: tuple[Entry, ...] = ()
        named: dict[str, list[SecretStr]] = {}

    class Whole(BaseSettings):
        model_config = SettingsConfigDict(env_prefix="X_", env_nested_delimiter="__")

        section: Section = Section()
        alone: SecretStr = SecretStr("")
        open: int = 0

    assert secret_variables(Whole) == {
        "X_SECTION__KEY",
        "X_SECTION__PERHAPS",
        "X_SECTION__SEVERAL",
        "X_SECTION__NAMED",
        "X_ALONE",
    }
    assert secret_variables(Settings) >= {*SAMPLES, *PAIRS, *PAIRS.values(), KEY}


BESIDE = {
    "AGENT_DATABASE__DIRECT_URL": (
        "AGENT_DATABASE__URL",
        "postgresql://agentroute@pooler.example.com/agentroute",
    ),
    "AGENT_DATABASE__REPLICA_URL": (
        "AGENT_DATABASE__URL",
        "postgresql://agentroute@db.example.com/agentroute",
    ),
    "AGENT_REDIS__SENTINEL_PASSWORD": ("AGENT_REDIS__URL", "redis+sentinel://redis.example.com/main"),
}
"""Secrets that mean nothing without another setting."""


@pytest.mark.parametrize("variable", sorted(secret_variables(Settings)))
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_in_a_file_is_the_secret_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, end: str
) -> None:
    value = SAMPLES.get(variable, "house-key-without-figures")
    nothing = Settings()
    for one, other in (*PAIRS.items(), *((other, one) for one, other in PAIRS.items())):
        if variable == one:
            monkeypatch.setenv(other, "house-key-without-figures")
    if variable in BESIDE:
        monkeypatch.setenv(*BESIDE[variable])
    monkeypatch.setenv(variable, value)
    expected = Settings()
    assert expected != nothing
    monkeypatch.delenv(variable)
    monkeypatch.setenv(f"{variable}{SUFFIX}", written(tmp_path, value + end))

    assert load_settings() == expected
    assert unknown_variables() == []
    assert "house-password" not in Redactor(secrets_of(load_settings())).text(f"it is {value}")


@pytest.mark.parametrize("empty", [KEY, f"{KEY}{SUFFIX}"])
def test_an_empty_variable_counts_as_absent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty: str
) -> None:
    values = {KEY: "house-key", f"{KEY}{SUFFIX}": written(tmp_path, "house-key")} | {empty: ""}
    for name, value in values.items():
        monkeypatch.setenv(name, value)

    assert load_settings().model.api_key.get_secret_value() == "house-key"


def test_a_secret_given_twice_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(KEY, "house-key")
    monkeypatch.setenv(f"{KEY}{SUFFIX}", written(tmp_path, "house-key"))

    assert problems() == [f"{KEY}_FILE and {KEY} are both set: remove one of them"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "the file is empty"),
        ("\n", "the file is empty"),
        (" \n\n", "the file is empty"),
        ("x" * (MAX_BYTES + 1), f"the file has more than {MAX_BYTES} bytes, so it is no secret"),
        (b"house-\xff-key", "the file is not UTF-8 text"),
        ("house-key".encode("utf-16"), "the file is not UTF-8 text"),
        ("house-key".encode("utf-16-le"), "the file is not text: it has a byte of zero"),
        (b"\xef\xbb\xbfhouse-key", "the file begins with a byte order mark; save it as UTF-8 without one"),
    ],
)
def test_a_file_without_a_secret_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | bytes, told: str
) -> None:
    monkeypatch.setenv(f"{KEY}{SUFFIX}", written(tmp_path, content))

    assert problems() == [f"{KEY}_FILE: {told}"]


def test_a_file_may_be_as_large_as_the_limit(tmp_path: Path) -> None:
    assert read_secret(written(tmp_path, "x" * MAX_BYTES)) == "x" * MAX_BYTES


def test_what_is_no_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    locked = tmp_path / "locked"
    locked.write_text("house-key")
    locked.chmod(0)
    told = {
        str(tmp_path): "is a directory; name a file in it",
        str(tmp_path / "absent"): "the file cannot be read: No such file or directory",
        str(tmp_path / "pipe"): "is no regular file",
        "/dev/null": "is no regular file",
        "x" * 5000: "the file cannot be read: File name too long",
    }
    if os.geteuid() != 0:
        told[str(locked)] = "the file cannot be read: Permission denied"
    for path, line in told.items():
        monkeypatch.setenv(f"{KEY}{SUFFIX}", path)
        assert problems() == [f"{KEY}_FILE: {line}"]


def test_every_wrong_file_has_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(f"{KEY}{SUFFIX}", str(tmp_path))
    monkeypatch.setenv(f"{JWT}{SUFFIX}", str(tmp_path / "absent"))

    assert [line.partition(":")[0] for line in problems()] == [f"{JWT}_FILE", f"{KEY}_FILE"]


@pytest.mark.parametrize(
    ("variable", "content", "told"),
    [
        (KEY, "house\u2013key", "_FILE: has U+2013 (en dash) as character 6, which no key has; copy the key"),
        (JWT, "hunter2", "_FILE must have at least 32 bytes"),
        (JWT, f"{SECRET}\n\n", "_FILE: begins or ends with white space"),
        ("AGENT_IDENTITY__JWT_SECRETS", "hunter2", '_FILE: expected a JSON list, such as ["one", "two"]'),
        ("AGENT_FILES__URL", "hunter2", "_FILE must be file:///directory or s3://bucket/prefix"),
    ],
)
def test_a_wrong_secret_is_told_by_the_variable_that_is_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, content: str, told: str
) -> None:
    monkeypatch.setenv(f"{variable}{SUFFIX}", written(tmp_path, content))

    (line,) = problems()

    assert line.startswith(f"{variable}{told}")
    assert "hunter2" not in line


def test_only_secrets_are_read_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AGENT_SERVER__PORT_FILE", written(tmp_path, "8001"))
    monkeypatch.setenv("AGENT_SERVER__PROT_FILE", written(tmp_path, "8001"))

    assert sorted(problems()) == [
        "AGENT_SERVER__PORT_FILE: only secrets are read from files; set AGENT_SERVER__PORT",
        "AGENT_SERVER__PROT_FILE: this setting does not exist",
    ]
