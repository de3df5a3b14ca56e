"""What every setting of a kind has in common, whichever section it is in."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from core.config import Settings
from core.settings_section import SettingsSection


def variables_of(kind: type, model: Any = Settings, prefix: str = "AGENT_") -> Iterator[str]:
    """Yield the variables of all settings of a type."""
    for name, field in model.model_fields.items():
        variable = f"{prefix}{name.upper()}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, SettingsSection):
            yield from variables_of(kind, field.annotation, f"{variable}__")
        elif kind in (field.annotation, *typing.get_args(field.annotation)):
            yield variable


def read(variable: str) -> Any:
    found: Any = Settings()
    for step in variable.removeprefix("AGENT_").lower().split("__"):
        found = getattr(found, step)
    return found


def test_the_settings_have_paths_and_numbers() -> None:
    assert {
        "AGENT_PROFILE_PATH",
        "AGENT_DATA_DIR",
        "AGENT_MODEL__PRICES_PATH",
        "AGENT_IDENTITY__JWKS_PATH",
        "AGENT_METRICS__PORT_PATH",
    } == {*variables_of(Path)}
    assert len([*variables_of(float)]) > 20


@pytest.mark.parametrize("variable", [*variables_of(Path)])
@pytest.mark.parametrize("value", ["", " ", "\t"])
def test_an_empty_path_is_none_and_not_the_current_folder(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    assert read(variable) is None


@pytest.mark.parametrize("variable", [*variables_of(Path)])
def test_a_path_is_taken_as_it_is(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Keys need an issuer and an audience beside them.
    monkeypatch.setenv("AGENT_IDENTITY__JWT_ISSUER", "https://id.example")
    monkeypatch.setenv("AGENT_IDENTITY__JWT_AUDIENCE", "agentroute")
    monkeypatch.setenv(variable, "some folder/file")

    assert read(variable) == Path("some folder/file")


@pytest.mark.parametrize("variable", [*variables_of(float)])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400"])
def test_a_number_that_is_not_finite_is_refused_at_the_start(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(ValidationError):
        Settings()
