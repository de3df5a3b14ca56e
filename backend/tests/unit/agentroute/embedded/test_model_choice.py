"""The kept model: private, encrypted, and bound to its address."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from agentroute.embedded.model_choice import ChoiceFile, ChoiceUnreadable, ModelChoice
from agentroute.embedded.own_key import own_key

KEY = "sk-0123456789abcdef"
CHOICE = ModelChoice("https://api.example.com/v1", "large", SecretStr(KEY))


@pytest.fixture
def secret(tmp_path: Path) -> str:
    return own_key(tmp_path / "secrets.key")


def test_a_choice_comes_back_and_its_file_is_private_and_without_the_key(tmp_path: Path, secret: str) -> None:
    file = ChoiceFile(tmp_path / "model.json", secret)
    assert file.load() is None
    file.save(ModelChoice("http://127.0.0.1:11434/v1", "small", SecretStr("")))
    file.save(CHOICE)

    assert ChoiceFile(file.path, secret).load() == CHOICE
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert KEY not in file.path.read_text()
    file.remove()
    file.remove()
    assert file.load() is None


def _other_address(document: dict[str, str]) -> None:
    document["base_url"] = "https://evil.example/v1"


def _no_key(document: dict[str, str]) -> None:
    document["api_key"] = "bm90IHNlYWxlZA=="


def _no_name(document: dict[str, str]) -> None:
    del document["name"]


@pytest.mark.parametrize(
    ("edit", "reason"),
    [(_other_address, "another address"), (_no_key, "another AGENT_SECRETS__KEY"), (_no_name, "damaged")],
)
def test_an_edited_file_sends_the_key_nowhere(
    tmp_path: Path, secret: str, edit: Callable[[dict[str, str]], None], reason: str
) -> None:
    file = ChoiceFile(tmp_path / "model.json", secret)
    file.save(CHOICE)
    document = json.loads(file.path.read_text())
    edit(document)
    file.path.write_text(json.dumps(document))

    with pytest.raises(ChoiceUnreadable, match=reason) as caught:
        file.load()
    assert KEY not in str(caught.value)


def test_another_encryption_key_does_not_open_it(tmp_path: Path, secret: str) -> None:
    ChoiceFile(tmp_path / "model.json", secret).save(CHOICE)

    with pytest.raises(ChoiceUnreadable, match="AGENT_SECRETS__KEY"):
        ChoiceFile(tmp_path / "model.json", own_key(tmp_path / "other.key")).load()
