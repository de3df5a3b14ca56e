"""The skills of a profile: folders with a ``SKILL.md``, as AgentScope has them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.agentscope.runtime.profile.profile_errors import ProfileInvalid
from core.agentscope.runtime.profile.profile_paths import PathBeside

SKILL_FILE = "SKILL.md"


class Skills(BaseModel):
    """What the agent can look up when it needs it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    paths: tuple[PathBeside, ...] = ()
    """Folders, each with a ``SKILL.md``; relative to the profile's directory."""


def check_skill_folders(paths: Iterable[Path]) -> None:
    """Check that the folders are there. What they hold is checked where it is used.

    Raises:
        ProfileInvalid: A folder is missing or has no ``SKILL.md``, or is named twice.
    """
    seen: set[Path] = set()
    for place, path in enumerate(paths):
        where = f"skills.paths[{place}]: {path}"
        if not path.is_dir():
            raise ProfileInvalid(f"{where}: there is no such folder; name a folder with a {SKILL_FILE}")
        if not (path / SKILL_FILE).is_file():
            inner = sorted(each.parent.name for each in path.glob(f"*/{SKILL_FILE}"))
            hint = (
                f"name its folders one by one: {', '.join(inner)}"
                if inner
                else "write one, or correct the path"
            )
            raise ProfileInvalid(f"{where}: has no {SKILL_FILE}; {hint}")
        if path.resolve() in seen:
            raise ProfileInvalid(f"{where}: is listed twice; remove one of them")
        seen.add(path.resolve())
