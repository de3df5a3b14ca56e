"""The agents of a deployment: one profile file, or a folder with one file an agent.

The name of a file, without ``.toml``, is the agent's id: it is in threads, in URLs and in requests. Read once when a
process starts; a mistake stops the start with one line that names the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.agentscope.runtime.profile.profile import AgentProfile, load_profile
from core.agentscope.runtime.profile.profile_errors import ProfileInvalid

DEFAULT_ID = "default"
"""The id of an only agent whose file's name is no id: the bundled one, ``My Agent.toml``."""

_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Agents:
    """The agents of a deployment, by id."""

    profiles: Mapping[str, AgentProfile]
    default_id: str
    """Of the agent of requests that name none."""
    keeps_ids: bool
    """From a folder: threads and runs keep the id of their agent.

    A deployment with one file has one agent, whatever its file is called. Its threads keep no id: they go on with the
    default agent, also when the file becomes one of a folder.
    """
    paths: Mapping[str, Path | None]
    """The file of each agent; none for the bundled one."""

    @property
    def need_the_model(self) -> bool:
        """Whether the model of the deployment is asked: not if all agents are of users' own code."""
        return any(profile.agent.reference is None for profile in self.profiles.values())

    def name_of(self, agent_id: str | None) -> str:
        """Return the name of an agent for the log: its id when it is not there any more."""
        agent_id = agent_id or self.default_id
        profile = self.profiles.get(agent_id)
        return agent_id if profile is None else profile.name

    def where(self, agent_id: str) -> str:
        """Return what a complaint about an agent begins with: its file."""
        path = self.paths.get(agent_id)
        return "" if path is None else f"{path}: "


def load_agents(path: Path | None = None) -> Agents:
    """Read the profile of every agent.

    Args:
        path: A file with one agent, or a folder with a file ``<id>.toml`` for each; the bundled agent when absent.

    Raises:
        ProfileInvalid: In one line, the file and its mistake.
    """
    if path is None or not path.is_dir():
        agent_id = path.stem if path is not None and _ID.fullmatch(path.stem) else DEFAULT_ID
        return Agents({agent_id: load_profile(path)}, agent_id, keeps_ids=False, paths={agent_id: path})
    files = _files(path)
    profiles = {file.stem: load_profile(file) for file in files}
    return Agents(
        profiles, _default(path, profiles), keeps_ids=True, paths={file.stem: file for file in files}
    )


def _files(folder: Path) -> list[Path]:
    try:
        # Hidden files are what editors and archives leave behind. A link that leads nowhere is an agent that is missing.
        found = [file for file in folder.glob("*.toml") if not file.name.startswith(".")]
        files = sorted(file for file in found if not file.is_dir())
    except OSError as exc:
        raise ProfileInvalid(f"{folder}: cannot be read ({exc.strerror}); see AGENT_PROFILE_PATH") from exc
    if not files:
        raise ProfileInvalid(
            f"{folder}: the folder has no agent: put a file like support.toml there; see AGENT_PROFILE_PATH"
        )
    for file in files:
        if _ID.fullmatch(file.stem) is None:
            raise ProfileInvalid(
                f"{file}: the file's name is the agent's id: up to 64 of a-z, 0-9, - and _, a letter or a digit first"
            )
    return files


def _default(folder: Path, profiles: Mapping[str, AgentProfile]) -> str:
    marked = [agent_id for agent_id, profile in profiles.items() if profile.default]
    if len(marked) > 1:
        files = " and ".join(f"{agent_id}.toml" for agent_id in marked)
        raise ProfileInvalid(f"{folder}: {files} have default = true; only one agent is the default")
    if marked:
        return marked[0]
    if len(profiles) == 1:
        return next(iter(profiles))
    raise ProfileInvalid(
        f"{folder}: no agent is the default: write default = true into one of "
        + ", ".join(f"{agent_id}.toml" for agent_id in profiles)
    )
