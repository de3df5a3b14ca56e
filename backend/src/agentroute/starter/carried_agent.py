"""``agentroute import``: puts an agent of a script behind the service. Nothing of the agent is rewritten or copied.

What is written is a profile and, unless the named function takes the run already, a factory of a few lines.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentroute.project import ENV_FILE, PROFILE, Project, read_env
from agentroute.starter.new_project import write_new_files
from core.agentscope.tools.errors import ToolDefinitionError
from core.agentscope.tools.user_module import import_attribute
from core.errors import ConfigurationError

FACTORY = "agent_factory.py"


@dataclass(frozen=True, slots=True)
class Source:
    """Where an agent of a user is."""

    folder: Path
    """The folder that must be on the path."""
    module: str
    attribute: str

    @property
    def reference(self) -> str:
        return f"{self.module}:{self.attribute}"


def run_import(given: str, say: Callable[[str], object]) -> Path:
    """Write the profile and the factory of an agent; returns the profile.

    Raises:
        ConfigurationError: The agent cannot be found or used, or a file exists. The line says which and why.
    """
    source = find_source(given)
    profile = source.folder / PROFILE
    env = {
        name: value for name, value in read_env(source.folder / ENV_FILE).items() if name not in os.environ
    }
    Project(source.folder, profile, env).enter()
    try:
        _, found = import_attribute(source.reference)
    except ToolDefinitionError as exc:
        raise ConfigurationError(str(exc)) from exc
    factory, code = _factory_of(source, found)
    name = _name_of(found, source)
    texts = {profile: _profile(name, factory)}
    if code:
        texts[source.folder / FACTORY] = code
    write_new_files(texts)
    for path in texts:
        say(f"  {path}")
    return profile


def find_source(given: str) -> Source:
    """Read ``my_agent.py:agent`` or ``my_package.my_module:agent``.

    Raises:
        ConfigurationError: It is neither, or there is no such file.
    """
    place, colon, attribute = given.rpartition(":")
    if not colon or not place or not attribute.isidentifier():
        raise ConfigurationError(
            f"{given!r} is not of the form my_agent.py:agent or my_package.my_module:agent"
        )
    if not place.endswith(".py"):
        return Source(Path.cwd(), place, attribute)
    path = Path(place).resolve()
    if not path.is_file():
        raise ConfigurationError(f"{place}: there is no such file")
    parts, folder = [path.stem], path.parent
    # A file of a package is imported by its whole name, from the folder above the package.
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    if not all(part.isidentifier() for part in parts):
        raise ConfigurationError(f"{place} cannot be imported: {'.'.join(parts)} is no name of a module")
    return Source(folder, ".".join(parts), attribute)


def _factory_of(source: Source, found: Any) -> tuple[str, str]:
    """Return the reference of the factory, and the code of its module; no code if the function is a factory already."""
    if inspect.isclass(found):
        raise ConfigurationError(
            f"{source.reference} is a class: name an agent, or a function without parameters that makes one"
        )
    if not inspect.isroutine(found):
        if not hasattr(found, "reply"):
            raise ConfigurationError(
                f"{source.reference} is a {type(found).__name__}: name an agentscope.agent.Agent, or a function that makes one"
            )
        return f"{Path(FACTORY).stem}:create_agent", _code(source, "")
    needed = [
        parameter
        for parameter in inspect.signature(found).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if len(needed) > 1:
        names = ", ".join(parameter.name for parameter in needed)
        raise ConfigurationError(
            f"{source.reference} needs {names}: name a function that takes the run, or nothing"
        )
    if needed:
        return source.reference, ""
    return f"{Path(FACTORY).stem}:create_agent", _code(
        source, "await " if inspect.iscoroutinefunction(found) else "", "()"
    )


def _code(source: Source, wait: str, call: str = "") -> str:
    # A plain function where nothing is awaited: it runs in a thread, so the user's code may block.
    return f'''"""Puts the agent of {source.module} behind AgentRoute. Nothing of the agent is changed."""

from agentroute.agents import AgentRun
from agentscope.agent import Agent

import {source.module}


{"async " if wait else ""}def create_agent(run: AgentRun) -> Agent:
    """Make the agent of one run."""
    return {wait}{source.reference.replace(":", ".")}{call}
'''


def _name_of(found: Any, source: Source) -> str:
    name = getattr(found, "name", None)
    return name[:64] if isinstance(name, str) and name else source.module.rpartition(".")[2][:64]


def _profile(name: str, factory: str) -> str:
    # A TOML string is written as a JSON string is.
    return f"""# Written by `agentroute import`. `agentroute check` prints what the agent amounts to.

name = {json.dumps(name, ensure_ascii=False)}
description = {json.dumps(f"The agent {name}.", ensure_ascii=False)}

[agent]
factory = "{factory}"
"""
