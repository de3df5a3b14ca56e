"""The skills of an agent, read once per process, and the tool with which a model reads them.

AgentScope's own viewer knows the text of ``SKILL.md`` only. This one also gives the other files of a skill's folder. The
files are listed once, when the process starts, and a call chooses from that list: no path of a model is ever opened. A
link that leads out of the folder is no file of the skill.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import frontmatter
from agentscope.message import TextBlock
from agentscope.skill import Skill
from agentscope.tool import RegisteredTool, ToolChunk, Toolkit
from agentscope.tool._builtin import SkillViewer
from yaml import YAMLError

from core.agentscope.runtime.profile.profile_errors import ProfileInvalid
from core.agentscope.runtime.profile.skills import SKILL_FILE, check_skill_folders
from core.agentscope.tools.result_text import fit_text
from core.text import clean_text

VIEWER = SkillViewer.name
"""The name of the tool. No other tool of an agent with skills may have it."""
_MOST_FILES = 200
"""Of one skill. A folder with more is probably not meant to be one."""
_ERROR: Any = "error"
_SUCCESS: Any = "success"

INSTRUCTION = """<agent-skills>
Skills are instructions and resources for particular tasks.

**IMPORTANT**: Skills are NOT tools, and you cannot call a skill directly. To use a skill, you MUST use the \
`{{ skill_viewer }}` tool to read the skill's full instructions, and then follow them.

# Available Skills:{% for skill in skills %}
<skill>
<name>{{ skill.name }}</name>
<description>{{ skill.description }}</description>
</skill>{% endfor %}
</agent-skills>
"""
"""AgentScope's, without the folders: they are those of the server, and say nothing to the model."""


@dataclass
class FolderSkill(Skill):
    """A skill of a profile."""

    files: Mapping[str, Path] = field(default_factory=dict)
    """Its other files, by their path inside of the folder."""


def load_skills(paths: Iterable[Path]) -> tuple[FolderSkill, ...]:
    """Read the skills of a profile.

    Raises:
        ProfileInvalid: As ``check_skill_folders``; or a ``SKILL.md`` cannot be read or has no name or description, or two
            skills have the same name.
    """
    folders = tuple(paths)
    check_skill_folders(folders)
    skills: dict[str, FolderSkill] = {}
    for place, folder in enumerate(folders):
        where = f"skills.paths[{place}]: {folder / SKILL_FILE}"
        skill = _read(where, folder)
        if skill.name in skills:
            raise ProfileInvalid(
                f"{where}: the name {skill.name} is taken by {skills[skill.name].dir}; rename one of them"
            )
        skills[skill.name] = skill
    return tuple(skills.values())


def add_skills(toolkit: Toolkit, skills: Sequence[Skill], max_bytes: int) -> None:
    """Add the skills of a profile to the basic group of a toolkit that belongs to one run."""
    if not skills:
        return
    basic = next(group for group in toolkit.tool_groups if group.name == "basic")
    taken = {skill.name for skill in basic.skills_or_loaders if isinstance(skill, Skill)}
    basic.skills_or_loaders += [skill for skill in skills if skill.name not in taken]
    # A copy of a toolkit has the viewer of the original, which knows nothing of what was added.
    toolkit.builtin_skill_viewer = RegisteredTool(tool=_Viewer(toolkit, max_bytes))


class _Viewer(SkillViewer):
    """Gives a skill's instructions, or one of its files."""

    description = f"{SkillViewer.description} Without a file, returns the skill's instructions and the names of its files."
    input_schema: dict[str, Any] = {  # noqa: RUF012  as in the class of AgentScope
        "type": "object",
        "properties": {
            "skill": {"type": "string", "description": "The exact name of the skill to view."},
            "file": {"type": "string", "description": "The exact name of one of its files."},
        },
        "required": ["skill"],
    }

    def __init__(self, toolkit: Toolkit, max_bytes: int) -> None:
        super().__init__(get_skills_method=toolkit._get_available_skills)
        self._max_bytes = max_bytes

    async def call(self, skill: str, _agent_state: Any, file: str | None = None) -> ToolChunk:
        skills = await self._get_skills_method(_agent_state.tool_context.activated_groups)
        found = skills.get(skill)
        if found is None:
            return self._chunk(_ERROR, f"There is no such skill. The skills are: {', '.join(skills)}.")
        files: Mapping[str, Path] = found.files if isinstance(found, FolderSkill) else {}
        listed = ", ".join(files) or "none"
        if not file or file == SKILL_FILE:
            more = f"\n\nFiles of this skill: {listed}" if files else ""
            return self._chunk(_SUCCESS, found.markdown + more)
        if file not in files:
            return self._chunk(_ERROR, f"The skill has no such file. Its files are: {listed}.")
        text = await asyncio.to_thread(_text, files[file], self._max_bytes)
        if text is None:
            return self._chunk(_ERROR, "The file is no text, or it is no longer there.")
        return self._chunk(_SUCCESS, text)

    def _chunk(self, state: Any, text: str) -> ToolChunk:
        return ToolChunk(content=[TextBlock(text=fit_text(text, self._max_bytes))], state=state)


def _read(where: str, folder: Path) -> FolderSkill:
    path = folder / SKILL_FILE
    try:
        # A byte order mark would hide the front matter.
        text = path.read_text(encoding="utf-8-sig")
        read = frontmatter.loads(text)
        updated_at = path.stat().st_mtime
    except OSError as exc:
        raise ProfileInvalid(f"{where}: cannot be read ({exc.strerror})") from exc
    except UnicodeDecodeError as exc:
        raise ProfileInvalid(f"{where}: is not UTF-8; save it as UTF-8") from exc
    except (YAMLError, ValueError) as exc:
        raise ProfileInvalid(f"{where}: its front matter is not YAML: {_line(exc)}") from exc
    named = {key: read.get(key) for key in ("name", "description")}
    for key, value in named.items():
        if not isinstance(value, str) or not value.strip():
            raise ProfileInvalid(
                f"{where}: its front matter has no {key}; begin the file with ---, name: …, description: …, ---"
            )
    return FolderSkill(
        name=clean_text(str(named["name"])),
        description=clean_text(str(named["description"])),
        # Not where it is: whatever shows it, such as a toolkit of the user, shows it to the model.
        dir=folder.name,
        markdown=clean_text(read.content),
        updated_at=updated_at,
        files=_files(where, folder),
    )


def _files(where: str, folder: Path) -> dict[str, Path]:
    root = folder.resolve()
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name == SKILL_FILE or any(part.startswith(".") for part in Path(name).parts) or not path.is_file():
            continue
        target = path.resolve()
        if not target.is_relative_to(root):
            continue
        found[name] = target
        if len(found) > _MOST_FILES:
            raise ProfileInvalid(
                f"{where}: its folder has more than {_MOST_FILES} files; move what the skill does not need"
            )
    return found


def _text(path: Path, max_bytes: int) -> str | None:
    """Return the text of a file; ``None`` for what is none, or is not there or leads elsewhere by now."""
    try:
        if path.resolve() != path:
            return None
        with path.open("rb") as file:
            data = file.read(max_bytes + 4)
    except OSError:
        return None
    if b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        # The last character may be cut.
        return data[: exc.start].decode() if exc.start > max_bytes - 4 else None


def _line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
    return f"line {mark.line + 1}: {problem}" if mark else problem
