"""The folder that a developer works in: its profile, its ``.env``, and its modules. For ``dev`` and ``check``.

Processes in production get all of it from their environment, and none of them reads this.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from agentroute.hidden_modules import refuse_hiding_files
from core.errors import ConfigurationError

PROFILE, FOLDER_OF_AGENTS, ENV_FILE = "agent.toml", "agents", ".env"
_PROFILE_PATH = "AGENT_PROFILE_PATH"
_SETTINGS = "AGENT_"


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with an agent, or with several."""

    folder: Path
    """Absolute. Its modules are imported, and its ``.env`` is read."""
    profile: Path | None
    """Absolute: a file, or a folder of them; none for the bundled agent."""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What ``.env`` says and the environment does not. The values may be secrets."""

    def enter(self, environ: MutableMapping[str, str] | None = None) -> None:
        """Give this process the environment of the project, and let it import the modules of the folder.

        Raises:
            ConfigurationError: A file of the folder hides a module that the service needs.
        """
        refuse_hiding_files(self.folder)
        environ = os.environ if environ is None else environ
        environ.update(self.env)
        if self.profile is not None:
            environ[_PROFILE_PATH] = str(self.profile)
        # First: a module of the folder comes before one of a library. Packages of this service are found before both.
        folder = str(self.folder)
        if folder not in sys.path:
            sys.path.insert(0, folder)
        # Of the processes that this one starts.
        more = environ.get("PYTHONPATH", "")
        if folder not in more.split(os.pathsep):
            environ["PYTHONPATH"] = os.pathsep.join(filter(None, (folder, more)))


def find_project(
    given: Path | None, environ: Mapping[str, str] | None = None, *, needed: bool = False
) -> Project:
    """Find the project of a command.

    Args:
        given: The folder, or the profile's file; the current folder when absent.
        environ: The environment; it comes before ``.env``.
        needed: Whether a project without a profile is refused. One that is named on the command line always is.

    Raises:
        ConfigurationError: There is no profile, or the folder or its ``.env`` cannot be read. The line never has a value of ``.env``.
    """
    environ = os.environ if environ is None else environ
    path = (Path() if given is None else given).resolve()
    if not path.exists():
        raise ConfigurationError(f"{given}: there is no such file or folder")
    if path.is_file() and path.suffix != ".toml":
        raise ConfigurationError(f"{given} is no profile: name an agent.toml, or the folder that it is in")
    folder = path if path.is_dir() else path.parent
    if folder.name == FOLDER_OF_AGENTS and not (folder / PROFILE).is_file() and _profiles(folder):
        # The modules and the .env of several agents are beside their folder.
        folder = folder.parent
    env = {name: value for name, value in read_env(folder / ENV_FILE).items() if name not in environ}
    profile = path if path.is_file() or path != folder else _profile(given, folder, environ, env)
    if profile is None and (needed or given is not None):
        raise ConfigurationError(
            f"{given or folder}: there is neither an {PROFILE} nor a folder {FOLDER_OF_AGENTS} with profiles; "
            + "`agentroute init` writes an agent"
        )
    return Project(folder, profile, env)


def renew_env(
    project: Project, environ: MutableMapping[str, str] | None = None
) -> tuple[Project, list[str], list[str]]:
    """Take the variables of ``.env`` as they are now. This process has entered the project before.

    Returns:
        The project as it is now, the names that have changed, and those that need another start: settings of the
        service, which are read once.

    Raises:
        ConfigurationError: ``.env`` cannot be read.
    """
    environ = os.environ if environ is None else environ
    now = {
        name: value
        for name, value in read_env(project.folder / ENV_FILE).items()
        if name not in environ or name in project.env
    }
    changed = sorted(
        name for name in now.keys() | project.env.keys() if now.get(name) != project.env.get(name)
    )
    settings = [name for name in changed if name.startswith(_SETTINGS)]
    env = dict(project.env)
    used = [name for name in changed if name not in settings]
    for name in used:
        for each in (env, environ):
            each.pop(name, None)
            if name in now:
                each[name] = now[name]
    return replace(project, env=env), used, settings


def _profile(
    given: Path | None, folder: Path, environ: Mapping[str, str], env: Mapping[str, str]
) -> Path | None:
    # The folder that is named on the command line comes before the shell's variable; .env belongs to the folder.
    if given is None and (of_shell := environ.get(_PROFILE_PATH)):
        return Path(of_shell).resolve()
    if of_file := env.get(_PROFILE_PATH):
        return (folder / of_file).resolve()
    if (folder / PROFILE).is_file():
        return folder / PROFILE
    if _profiles(folder / FOLDER_OF_AGENTS):
        return folder / FOLDER_OF_AGENTS
    return folder if given is not None and _profiles(folder) else None


def _profiles(folder: Path) -> bool:
    return any(path.name != "pyproject.toml" for path in folder.glob("*.toml"))


def read_env(path: Path) -> dict[str, str]:
    """Return the variables of a file such as ``.env``; none if it does not exist.

    Raises:
        ConfigurationError: It cannot be read. The line never has a value.
    """
    if not path.exists():
        return {}
    # Here, not above: most commands need no .env.
    from dotenv import dotenv_values

    try:
        return {name: value for name, value in dotenv_values(path).items() if value is not None}
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError:
        # Not `from exc`: the error has the bytes of the file.
        raise ConfigurationError(f"{path} is not UTF-8 text") from None
