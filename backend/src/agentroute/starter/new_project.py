"""``agentroute init``: writes the files of a new agent. Nothing that exists is ever changed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from string import Template

from agentroute.own_packages import OWN_PACKAGES
from core.errors import ConfigurationError

_FILES = {
    "agent.toml": "agent.toml.txt",
    "agent.py": "agent.py.txt",
    "tools.py": "tools.py.txt",
    ".env.example": "env.example.txt",
    ".gitignore": "gitignore.txt",
    "README.md": "README.md.txt",
}
"""What a new agent consists of, and the template of each file."""

_TEMPLATES = Path(__file__).with_name("files")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")


def write_project(target: Path, name: str | None = None) -> list[Path]:
    """Write the files of a new agent into a folder, which is made if it does not exist.

    Args:
        target: The folder; ``.`` for the current one.
        name: Name of the agent; that of the folder when absent.

    Returns:
        The files, in the order of their importance.

    Raises:
        ConfigurationError: The name cannot be used, a file exists, or the folder cannot be written.
    """
    name = _checked_name(target, name)
    words = {"name": name, "title": " ".join(re.split(r"[-_]+", name)).strip().title()}
    texts = {
        target / file: Template((_TEMPLATES / template).read_text(encoding="utf-8")).substitute(words)
        for file, template in _FILES.items()
    }
    write_new_files(texts)
    return list(texts)


def write_new_files(texts: Mapping[Path, str]) -> None:
    """Write files that do not exist yet: all of them, or none.

    Raises:
        ConfigurationError: One exists, or cannot be written; the line names it.
    """
    # A link that leads nowhere is a file of the user, too.
    if existing := [str(path) for path in texts if os.path.lexists(path)]:
        verb = "exists" if len(existing) == 1 else "exist"
        raise ConfigurationError(f"{', '.join(existing)} {verb} already, and nothing is overwritten")
    written: list[Path] = []
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                written.append(path)
                file.write(text)
    except OSError as exc:
        for path in written:
            path.unlink(missing_ok=True)
        raise ConfigurationError(f"{exc.filename} cannot be written: {exc.strerror}") from exc


def _checked_name(target: Path, name: str | None) -> str:
    wanted = target.resolve().name if name is None else name
    if _NAME.fullmatch(wanted) is None:
        raise ConfigurationError(
            f"{wanted!r} cannot be the name of an agent: use a letter, then letters, digits, - and _, at most 63, "
            + "such as shoe-shop"
            + ("" if name is not None else "; --name chooses another than the folder's")
        )
    if target.resolve().name in OWN_PACKAGES:
        raise ConfigurationError(
            f"a folder {target.resolve().name} would hide a package of AgentRoute: choose another name"
        )
    return wanted
