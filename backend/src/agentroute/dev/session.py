"""Starts an instance for a developer, and keeps it up to date until Ctrl-C."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from agentroute.dev.changes import ChangedFiles
from agentroute.dev.log_view import LogView, secret_values
from agentroute.dev.reloader import Looking, Reloader
from agentroute.embedded.handover import reason_of
from agentroute.embedded.local_server import LocalServerError
from agentroute.embedded.service import Embedded, run_embedded
from agentroute.embedded.supervisor import StopRequestedError
from agentroute.hidden_modules import hiding_files
from agentroute.project import ENV_FILE, Project, find_project, renew_env
from agentroute.settings_errors import load_settings
from core.errors import ConfigurationError


def run_dev(
    given: Path | None, *, host: str | None, port: int | None, data_dir: Path | None, browse: bool = False
) -> int:
    """Run the agent of a folder until a stop signal; returns the exit code.

    Args:
        given: The folder or the profile, as the user named it.
        host: As of :func:`run_embedded`.
        port: As of :func:`run_embedded`.
        data_dir: Where data and logs are kept; ``.agentroute`` in the folder when None.
        browse: As of :func:`run_embedded`.

    Raises:
        ConfigurationError, InvalidSettings, LocalServerError: As of :func:`find_project`, :func:`load_settings` and
            :func:`run_embedded`.
    """
    project = find_project(given, needed=True)
    data_dir = None if data_dir is None else data_dir.absolute()
    project.enter()
    os.chdir(project.folder)
    # The terminal shows what is for people, and takes it out of the log.
    os.environ["AGENT_LOG_FORMAT"] = "json"
    return run_embedded(
        load_settings(),
        host=host,
        port=port,
        data_dir=data_dir,
        browse=browse,
        run=lambda instance: _Session(instance, project).run(),
    )


class _Session:
    def __init__(self, instance: Embedded, project: Project) -> None:
        self._instance = instance
        self._project = project
        self._console = Console(highlight=False)
        self._view = LogView(
            instance.data_dir / "logs",
            project.folder,
            self._console,
            secret_values(list(project.env.items())),
        )
        self._changes = ChangedFiles(
            project.folder, instance.supervisor.wake, left_out=instance.data_dir, say=self._say
        )
        self._say(f"Agent: {project.profile}")
        self._say_variables()

    def run(self) -> None:
        """Start everything, and reload what changes.

        Raises:
            StopRequestedError: A stop signal came during the start.
            LocalServerError: A server does not start, and no change of the user's files would mend it.
        """
        instance = self._instance
        with self._view, self._changes:
            instance.begin(check_profile=False)
            while not self._is_ready():
                self._wait_for_a_change()
                instance.start_processes()
            looking = Looking(instance.data_dir / "logs")
            reloader = Reloader(
                instance,
                self._changes.take,
                look=looking,
                result=lambda: looking.result,
                say=self._say,
                show=self._view.show_failure,
                hiding=lambda: hiding_files(self._project.folder),
            )

            def turn() -> float | None:
                waits = [wait for wait in (reloader.turn(), instance.control.turn()) if wait is not None]
                return min(waits, default=None)

            instance.supervisor.watch(turn, until=lambda: reloader.knows, heard=instance.control.heard)
            self._say("Changed files of the folder are used at once.")
            instance.supervisor.watch(turn, heard=instance.control.heard)

    def _is_ready(self) -> bool:
        """Wait until requests can be served; if the code of the user prevents that, show why."""
        instance = self._instance
        try:
            instance.wait_until_ready()
        except LocalServerError:
            ended = [service for service in (instance.worker, instance.api) if not service.running]
            if not ended:
                raise
            reason = reason_of(ended[0].tail(40))
            instance.stop_processes()
            self._view.show_failure(reason)
            return False
        return True

    def _wait_for_a_change(self) -> None:
        self._say("The agent cannot be used yet. It is tried again when a file changes.")
        supervisor = self._instance.supervisor
        while True:
            changed: list[Path] = []
            supervisor.watch(until=lambda: bool(changed.extend(self._changes.take()) or changed))  # noqa: B023  called here
            if supervisor.stopping:
                raise StopRequestedError
            if self._is_worth_a_try(changed):
                return

    def _is_worth_a_try(self, changed: Sequence[Path]) -> bool:
        """Whether a start may succeed after these changes; uses the variables of ``.env`` as they are now."""
        others = [file for file in changed if file != Path(ENV_FILE)]
        used: list[str] = []
        if len(others) < len(changed):
            try:
                self._project, used, settings = renew_env(self._project)
            except ConfigurationError as exc:
                self._view.show_failure(str(exc))
                return False
            self._view.hide(secret_values(list(self._project.env.items())))
            self._say_variables()
            for name in settings:
                self._say(
                    f"{name} of {ENV_FILE} has changed. It is read once: start `agentroute dev` again to use it."
                )
        if hiding := list(hiding_files(self._project.folder)):
            self._view.show_failure(hiding[0])
            return False
        return bool(others or used)

    def _say_variables(self) -> None:
        if self._project.env:
            self._say(f"Variables of {ENV_FILE}: {', '.join(self._project.env)}")

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)
