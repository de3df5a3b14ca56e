"""What is sealed opens for what it was sealed for, with every key that is there, and with nothing else."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from agentroute.embedded.local_server import LocalServerError
from agentroute.embedded.own_key import own_key
from agentroute.settings_errors import InvalidSettings, load_settings
from core.config import SecretSettings, Settings
from core.connections.resource import resource_of
from core.connections.vault import HEAD_BYTES, CannotOpen, Vault
from core.errors import ConfigurationError
from core.redaction import Redactor, secrets_of

KEYS = st.binary(min_size=32, max_size=32)
ANY_TEXT = st.text(st.characters())
BINDINGS = st.lists(ANY_TEXT, max_size=6)


def key_text(seed: int = 0) -> str:
    return base64.b64encode(bytes((seed + step * 7) % 256 for step in range(32))).decode()


@given(KEYS, ANY_TEXT, BINDINGS)
def test_what_is_sealed_opens_for_the_same(key: bytes, text: str, binding: list[str]) -> None:
    sealed = Vault([key]).seal(text, *binding)

    assert Vault([key]).open(sealed, *binding) == text


@given(KEYS, ANY_TEXT, BINDINGS, BINDINGS)
def test_nothing_opens_for_anybody_else(key: bytes, text: str, mine: list[str], other: list[str]) -> None:
    vault = Vault([key])
    if mine == other:
        other = [*other, ""]
    sealed = vault.seal(text, *mine)

    with pytest.raises(CannotOpen):
        vault.open(sealed, *other)
    # The same letters, divided in another way.
    if len(mine) > 1 and mine[1]:
        with pytest.raises(CannotOpen):
            vault.open(sealed, mine[0] + mine[1], "", *mine[2:])


@given(KEYS, ANY_TEXT, st.data())
def test_nothing_opens_that_was_changed(key: bytes, text: str, data: st.DataObject) -> None:
    vault = Vault([key])
    sealed = vault.seal(text, "ada")
    place = data.draw(st.integers(0, len(sealed) - 1))
    flipped = sealed[:place] + bytes([sealed[place] ^ data.draw(st.integers(1, 255))]) + sealed[place + 1 :]

    for wrong in (flipped, sealed[:place], sealed + b"\0", b""):
        with pytest.raises(CannotOpen):
            vault.open(wrong, "ada")


@given(st.lists(KEYS, min_size=2, max_size=4, unique=True), ANY_TEXT)
def test_the_first_key_seals_and_every_key_opens(keys: list[bytes], text: str) -> None:
    old, new = Vault(keys[1:]), Vault(keys)
    before, after = old.seal(text, "ada"), new.seal(text, "ada")

    assert new.open(before, "ada") == new.open(after, "ada") == text
    assert before[:HEAD_BYTES] == new.heads[1]
    assert after[:HEAD_BYTES] == new.heads[0]
    with pytest.raises(CannotOpen):
        old.open(after, "ada")


def test_no_two_sealed_values_are_the_same_and_none_holds_the_text() -> None:
    vault = Vault([os.urandom(32)])
    sealed = [vault.seal("the-very-token", "ada") for _ in range(50)]

    assert len(set(sealed)) == 50
    assert not any(b"token" in value for value in sealed)


def test_without_a_key_nothing_is_sealed_and_nothing_opens() -> None:
    sealed = Vault([os.urandom(32)]).seal("text")

    with pytest.raises(ConfigurationError, match="AGENT_SECRETS__KEY is not set"):
        Vault([]).seal("text")
    with pytest.raises(CannotOpen):
        Vault([]).open(sealed)


# --- the setting ---


@pytest.mark.parametrize(
    "written",
    [
        "{0}",
        "{0}\n",
        "{0},{1}",
        " {0} ,\n{1},",
        "{0} {1}",
    ],
)
def test_keys_are_separated_by_commas_or_white_space(written: str) -> None:
    texts = [key_text(1), key_text(2).replace("+", "-").replace("/", "_").rstrip("=")]
    vault = Vault.of(SecretSettings(key=SecretStr(written.format(*texts))))

    assert len(vault.heads) == (2 if "{1}" in written else 1)
    assert Vault.of(SecretSettings(key=SecretStr(texts[0]))).heads[0] == vault.heads[0]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("changeme", "AGENT_SECRETS__KEY: is not 32 bytes in Base64; `openssl rand -base64 32` makes a key"),
        (base64.b64encode(b"x" * 31).decode(), "is not 32 bytes in Base64"),
        (base64.b64encode(bytes(range(64))).decode(), "is not 32 bytes in Base64"),
        ("ключ" * 11, "is not 32 bytes in Base64"),
        (base64.b64encode(b"x" * 32).decode(), "repeats few bytes and is no random key"),
        (f"{key_text()},house-password", "AGENT_SECRETS__KEY: key 2 is not 32 bytes in Base64"),
    ],
)
def test_a_bad_key_stops_the_start_and_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, written: str, told: str
) -> None:
    monkeypatch.setenv("AGENT_SECRETS__KEY", written)
    with pytest.raises(InvalidSettings) as caught:
        load_settings()

    assert told in str(caught.value)
    assert written not in str(caught.value)
    with pytest.raises(ValidationError):
        SecretSettings(key=SecretStr(written))


def test_no_key_is_ever_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = key_text(3), key_text(4)
    monkeypatch.setenv("AGENT_SECRETS__KEY", f"{first}, {second}")
    settings = Settings()
    redactor = Redactor(secrets_of(settings))

    for key in (first, second):
        assert key not in redactor.text(f"a {key} b")
    assert first not in repr(settings)


# --- the key of an instance of one's own ---


def test_an_instance_makes_a_key_once_and_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "secrets.key"

    key = own_key(path)

    assert own_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert Vault.of(SecretSettings(key=SecretStr(key))).is_on
    assert own_key(tmp_path / "other") != key


@pytest.mark.parametrize(
    ("content", "told"), [(b"", "it is empty"), (b"x", "32 bytes"), (b"\xff", "not text")]
)
def test_a_key_that_was_damaged_is_told_and_never_replaced(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "secrets.key"
    path.write_bytes(content)

    with pytest.raises(LocalServerError, match=told):
        own_key(path)
    assert path.read_bytes() == content


# --- the address of a server ---


@pytest.mark.parametrize(
    ("url", "resource"),
    [
        ("https://mcp.example.com/mcp", "https://mcp.example.com/mcp"),
        ("HTTPS://user:password@MCP.example.com:443/mcp/?key=1#part", "https://mcp.example.com/mcp"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("http://localhost:80/a/B", "http://localhost/a/B"),
        ("http://localhost:443/a", "http://localhost:443/a"),
    ],
)
def test_an_address_is_its_origin_and_path(url: str, resource: str) -> None:
    assert resource_of(url) == resource
