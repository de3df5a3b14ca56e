"""Which model the processes are started with: the environment's, then the user's choice, then the demo."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import SecretStr

from agentroute.embedded.demo_service import DemoService
from agentroute.embedded.model_choice import ModelChoice
from agentroute.embedded.model_use import ModelUse
from agentroute.embedded.own_key import own_key
from agentroute.embedded.python_service import PythonService
from core.config import Settings

PORT = 40_001
CHOICE = ModelChoice("https://api.example.com/v1", "large", SecretStr("sk-0123456789"))


class Instance:
    """What surrounds the model of an instance."""

    def __init__(self, folder: Path, **model: Any) -> None:
        self.env: dict[str, str] = {}
        self.started: list[PythonService] = []
        self.said: list[str] = []
        self.use = ModelUse(
            Settings.model_validate({"model": model}),
            self.env,
            folder,
            new_demo=lambda: cast("DemoService", cast("Any", SimpleNamespace(port=PORT))),
            start=self.started.append,
            say=self.said.append,
        )
        self.use.begin(own_key(folder / "secrets.key"))


def test_without_a_choice_the_demo_runs_and_a_choice_is_that_of_the_next_start(tmp_path: Path) -> None:
    first = Instance(tmp_path)
    assert first.started == [first.use.demo]
    assert (first.use.source, first.use.settings.model.provider) == ("demo", "demo")
    assert first.env["AGENT_MODEL__BASE_URL"] == f"http://127.0.0.1:{PORT}/v1"

    first.use.take(CHOICE)
    first.use.keep()
    second = Instance(tmp_path)
    assert second.use.source == "chosen"
    assert second.started == []
    assert second.env == first.env
    chosen = second.use.settings.model
    assert ModelChoice(chosen.base_url, chosen.name, chosen.api_key) == CHOICE

    second.use.take(None)
    second.use.keep()
    assert second.use.source == "demo"
    assert "AGENT_MODEL__API_KEY" not in second.env
    assert len(second.started) == 1
    assert Instance(tmp_path).use.source == "demo"


def test_a_choice_that_is_taken_back_leaves_everything_as_it_was(tmp_path: Path) -> None:
    instance = Instance(tmp_path)
    before = dict(instance.env)

    undo = instance.use.take(CHOICE)
    undo()

    assert instance.env == before
    assert instance.started == instance.started[:1]


def test_a_demo_that_cannot_be_started_leaves_the_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Instance(tmp_path)
    first.use.take(CHOICE)
    first.use.keep()
    instance = Instance(tmp_path)
    before = dict(instance.env)

    def fails(_demo: PythonService) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(instance.use, "_start", fails)
    with pytest.raises(OSError, match="No space"):
        instance.use.take(None)

    assert (instance.use.choice, instance.env) == (CHOICE, before)


@pytest.mark.parametrize(
    ("model", "variables", "source"),
    [
        ({"base_url": "http://127.0.0.1:9/v1"}, ["AGENT_MODEL__BASE_URL"], "environment"),
        (
            {"base_url": "http://127.0.0.1:9/v1", "api_key": "sk-1", "name": "m"},
            ["AGENT_MODEL__BASE_URL", "AGENT_MODEL__API_KEY", "AGENT_MODEL__NAME"],
            "environment",
        ),
        ({"name": "m"}, ["AGENT_MODEL__NAME"], "demo"),
    ],
)
def test_the_environment_comes_before_a_kept_choice(
    tmp_path: Path, model: dict[str, str], variables: list[str], source: str
) -> None:
    first = Instance(tmp_path)
    first.use.take(CHOICE)
    first.use.keep()

    instance = Instance(tmp_path, **model)

    assert (instance.use.variables, instance.use.source) == (variables, source)
    assert instance.use.choice is None
    assert "AGENT_MODEL__API_KEY" not in instance.env


def test_a_damaged_choice_is_said_and_the_demo_is_used(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{")

    instance = Instance(tmp_path)

    assert instance.use.source == "demo"
    assert instance.said == [
        f"warning: {tmp_path / 'model.json'}: it is damaged. The demo model is used; choose the model again."
    ]
