"""Wrong settings become lines that name the variable and never show its value."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from agentroute.settings_errors import InvalidSettings, load_settings
from core.config import Settings


def _problems(*required: str) -> list[str]:
    with pytest.raises(InvalidSettings) as caught:
        load_settings(*required)
    return caught.value.problems


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("AGENT_SERVER__PORT", "abc", "AGENT_SERVER__PORT: input should be a valid integer"),
        ("AGENT_SERVER__PORT", "70000", "AGENT_SERVER__PORT: input should be less than or equal to 65535"),
        ("AGENT_LOG_LEVEL", "loud", "AGENT_LOG_LEVEL: input should be 'DEBUG', 'INFO'"),
        ("AGENT_DATABASE__UURL", "x", "AGENT_DATABASE__UURL: this setting does not exist"),
        ("AGENT_SERVER__CORS_ORIGINS", "http://a", "AGENT_SERVER__CORS_ORIGINS: expected a JSON list"),
        (
            "AGENT_SERVER__CORS_ORIGINS",
            "[1, {}]",
            "AGENT_SERVER__CORS_ORIGINS: input should be a valid string",
        ),
        (
            "AGENT_SERVER__CORS_ORIGINS",
            '["https://app.example", "https://app.example/chat"]',
            'AGENT_SERVER__CORS_ORIGINS: "https://app.example/chat" is no origin: it has no path',
        ),
        (
            "AGENT_SERVER",
            "nonsense",
            "AGENT_SERVER: is a group of settings; set one of them, such as AGENT_SERVER__HOST",
        ),
        (
            "AGENT_SERVER",
            "1",
            "AGENT_SERVER: is a group of settings; set one of them, such as AGENT_SERVER__HOST",
        ),
        (
            "AGENT_MODEL__BASE_URL",
            "api.example.com/v1",
            "AGENT_MODEL__BASE_URL: must begin with http:// or https://",
        ),
        (
            "AGENT_MODEL__BASE_URL",
            "localhost:11434/v1",
            "AGENT_MODEL__BASE_URL: must begin with http:// or https://",
        ),
        ("AGENT_MODEL__BASE_URL", "https://", "AGENT_MODEL__BASE_URL: must begin with http:// or https://"),
        (
            "AGENT_TRANSCRIPTION__BASE_URL",
            "http://[",
            "AGENT_TRANSCRIPTION__BASE_URL: must begin with http://",
        ),
        ("AGENT_IDENTITY__JWT_SECRET", "short", "AGENT_IDENTITY__JWT_SECRET must have at least 32 bytes"),
    ],
)
def test_a_wrong_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(variable, value)

    problems = _problems()

    assert problems[0].startswith(expected)


def test_every_wrong_variable_has_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_SERVER__PORT", "x")
    monkeypatch.setenv("AGENT_WORKER__CONCURRENCY", "0")

    assert len(_problems()) == 2


def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_IDENTITY__JWT_SECRET", "hunter2")

    assert "hunter2" not in str(_problems())


def test_required_urls_that_are_missing_are_named() -> None:
    database, redis = _problems("database", "redis")

    assert database.startswith("AGENT_DATABASE__URL is not set")
    assert redis.startswith("AGENT_REDIS__URL is not set")
    assert "agentroute embedded" in database


def test_good_settings_are_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_DATABASE__URL", "postgresql://host/name")

    assert load_settings("database").database.url.get_secret_value() == "postgresql://host/name"


def _variables() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from (f"AGENT_{name}__{member}".upper() for member in kind.model_fields)
        else:
            yield f"AGENT_{name}".upper()


def test_an_empty_variable_is_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every setting, whatever its type: Compose and charts pass on what nobody has said."""
    plain = load_settings()
    for variable in _variables():
        monkeypatch.setenv(variable, "")

    assert load_settings() == plain


def test_an_empty_list_beside_a_wrong_one_is_not_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_SERVER__ADMIN_ONLY", "")
    monkeypatch.setenv("AGENT_SERVER__CORS_ORIGINS", "http://a")

    [problem] = _problems()

    assert problem.startswith("AGENT_SERVER__CORS_ORIGINS")


def test_white_space_is_not_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_METRICS__PORT", " ")

    assert _problems()[0].startswith("AGENT_METRICS__PORT: input should be a valid integer")
