"""Which model the processes of an instance ask: the one of the environment, the user's choice, or the scripted demo.

The processes learn it from variables in their environment, so a process keeps the model with which it was started.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from agentroute.embedded.demo_service import DemoService
from agentroute.embedded.model_choice import ChoiceFile, ChoiceUnreadable, ModelChoice
from agentroute.embedded.python_service import PythonService
from core.config import ModelSettings, Settings
from core.secret_files import variables_in_use

_URL, _KEY, _NAME, _PROVIDER = (
    f"AGENT_MODEL__{member}" for member in ("BASE_URL", "API_KEY", "NAME", "PROVIDER")
)
Source = Literal["demo", "chosen", "environment"]


class ModelUse:
    """The model of an instance.

    Args:
        settings: What the environment says; it comes first.
        env: Variables of the processes to come; changed here.
        data_dir: Has the kept choice.
        new_demo: Makes the demo model's service.
        start: Starts a service and keeps it running.
        say: Shows the user one line.
    """

    def __init__(
        self,
        settings: Settings,
        env: dict[str, str],
        data_dir: Path,
        *,
        new_demo: Callable[[], DemoService],
        start: Callable[[PythonService], None],
        say: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._env = env
        self._path = data_dir / "model.json"
        self._new_demo = new_demo
        self._start = start
        self._say = say
        self._file: ChoiceFile | None = None
        self.demo: DemoService | None = None
        """The demo model, once it was started. It runs on beside a choice: runs may still ask it."""
        self.choice: ModelChoice | None = None
        self.variables = _deciding(settings.model)
        """The variables with which the environment decides; none if the user may choose."""

    @property
    def source(self) -> Source:
        """Where the model comes from."""
        if self.variables and self._settings.model.base_url:
            return "environment"
        return "demo" if self.choice is None else "chosen"

    @property
    def settings(self) -> Settings:
        """The settings of the processes that are started now, as far as they are about the model."""
        change = {
            "base_url": self._env.get(_URL, self._settings.model.base_url),
            "name": self._env.get(_NAME, self._settings.model.name),
            "api_key": SecretStr(self._env.get(_KEY, self._settings.model.api_key.get_secret_value())),
            "provider": self._env.get(_PROVIDER, self._settings.model.provider),
        }
        return self._settings.model_copy(update={"model": self._settings.model.model_copy(update=change)})

    def begin(self, secret_key: str) -> None:
        """Use the kept choice, or else start the demo model; nothing if the environment names an endpoint."""
        self._file = ChoiceFile(self._path, secret_key)
        if self._settings.model.base_url:
            return
        if not self.variables:
            try:
                self.choice = self._file.load()
            except ChoiceUnreadable as exc:
                self._say(f"warning: {self._path}: {exc}. The demo model is used; choose the model again.")
        self._fill()

    def take(self, choice: ModelChoice | None) -> Callable[[], None]:
        """Have the processes to come ask another model, None for the demo; returns how to take that back.

        Raises:
            OSError: The demo cannot be started. Nothing has changed.
        """
        before = self.choice

        def undo() -> None:
            self.choice = before
            self._fill()

        self.choice = choice
        try:
            self._fill()
        except OSError:
            undo()
            raise
        return undo

    def keep(self) -> None:
        """Make the choice of now that of the next start.

        Raises:
            OSError: It cannot be kept.
        """
        if self._file is None:
            return
        if self.choice is None:
            self._file.remove()
        else:
            self._file.save(self.choice)

    def _fill(self) -> None:
        for name in (_URL, _KEY, _NAME, _PROVIDER):
            self._env.pop(name, None)
        if self.choice is not None:
            self._env[_URL] = self.choice.base_url
            self._env[_NAME] = self.choice.name
            self._env[_KEY] = self.choice.api_key.get_secret_value()
            return
        if self.demo is None:
            self.demo = self._new_demo()
            self._start(self.demo)
        self._env[_URL] = f"http://127.0.0.1:{self.demo.port}/v1"
        self._env[_PROVIDER] = "demo"


def _deciding(model: ModelSettings) -> list[str]:
    """Return the variables that say which model is asked."""
    given = {_URL: model.base_url, _KEY: model.api_key.get_secret_value()}
    in_files = variables_in_use(os.environ, Settings)
    named = [in_files.get(name, name) for name, value in given.items() if value]
    return [*named, _NAME] if model.name != ModelSettings().name else named
