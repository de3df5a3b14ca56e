"""Starts an instance for a developer, and keeps it up to date until Ctrl-C."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console

from agentroute.dev.changes import ChangedFiles
from agentroute.dev.log_view import LogView, secret_values
from agentroute.dev.reloader import Looking, Reloader, reason_of
from agentroute.embedded.local_server import LocalServerError
from agentroute.embedded.service import Embedded, run_embedded
from agentroute.embedded.supervisor import StopRequestedError
from agentroute.project import Project, find_project
from agentroute.settings_errors import load_settings


def run_dev(given: Path | None, *, host: str | None, port: int | None, data_dir: Path | None) -> int:
    """Run the agent of a folder until a stop signal; returns the exit code.

    Args:
        given: The folder or the profile, as the user named it.
        host: As of :func:`run_embedded`.
        port: As of :func:`run_embedded`.
        data_dir: Where data and logs are kept; ``.agentroute`` in the folder when None.

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
        run=lambda instance: _Session(instance, project).run(),
    )


class _Session:
    def __init__(self, instance: Embedded, project: Project) -> None:
        self._instance = instance
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
        if project.env:
            self._say(f"Variables of .env: {', '.join(project.env)}")

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
            )
            instance.supervisor.watch(reloader.turn, until=lambda: reloader.knows)
            self._say("Changed files of the folder are used at once.")
            instance.supervisor.watch(reloader.turn)

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
        supervisor.watch(until=lambda: bool(self._changes.take()))
        if supervisor.stopping:
            raise StopRequestedError

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)
