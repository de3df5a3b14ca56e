"""``agentroute import``: puts an agent of a script behind the service. Nothing of the agent is rewritten or copied.

What is written is a profile and, unless the named function takes the run already, a factory of a few lines.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from agentroute.own_packages import OWN_PACKAGES
from agentroute.project import ENV_FILE, PROFILE, Project, read_env
from agentroute.starter.new_project import write_new_files
from core.agentscope.tools.errors import ToolDefinitionError
from core.agentscope.tools.user_module import import_attribute, import_user_module
from core.errors import ConfigurationError

_FACTORY = "agent_factory"
_RUN = "AgentRun"


@dataclass(frozen=True, slots=True)
class Source:
    """Where an agent of a user is."""

    folder: Path
    """The folder that must be on the path."""
    module: str
    attribute: str
    file: Path | None = None
    """The file that was named, absolute; none if a module was named."""

    @property
    def reference(self) -> str:
        return f"{self.module}:{self.attribute}"


def run_import(
    given: str, say: Callable[[str], object], check: Callable[[Path, Callable[[], object]], int]
) -> int:
    """Write the profile and the factory of an agent, and check them; returns the exit code.

    Args:
        given: The agent, as :func:`find_source` reads it.
        say: Shows the user one line.
        check: Checks the agent of a profile; returns the exit code. Calls its second argument if the agent cannot
            be made at all: what was written is deleted then, so that another try finds nothing in its way.

    Raises:
        ConfigurationError: The agent cannot be found or used, or a file exists. The line says which and why.
    """
    source = find_source(given)
    profile = source.folder / PROFILE
    env = {
        name: value for name, value in read_env(source.folder / ENV_FILE).items() if name not in os.environ
    }
    Project(source.folder, profile, env).enter()
    # As `agentroute dev` does: the code of the user may open files beside it.
    os.chdir(source.folder)
    found = _imported(source)
    factory = _free_name(source)
    reference, code = _factory_of(source, found, factory)
    texts = {profile: _profile(_name_of(found, source), reference)}
    if code:
        texts[source.folder / f"{factory}.py"] = code
    write_new_files(texts)
    unusable: list[bool] = []
    try:
        for path in texts:
            say(f"  {path}")
        exit_code = check(profile, lambda: unusable.append(True))
    except BaseException:
        _delete(texts)
        raise
    if unusable:
        _delete(texts)
        say("The agent cannot be made, so the files were deleted again. Mend it, then import it again.")
    return exit_code


def _imported(source: Source) -> Any:
    try:
        module = import_user_module(source.reference, source.module)
        imported = getattr(module, "__file__", None)
        if source.file is not None and (imported is None or Path(imported).resolve() != source.file):
            raise ConfigurationError(
                f"{source.file} cannot be imported: the name {source.module} means {imported or 'a module of Python'}. "
                + f"Rename {source.file.name}"
            )
        return import_attribute(source.reference)[1]
    except ToolDefinitionError as exc:
        raise ConfigurationError(str(exc)) from exc


def _free_name(source: Source) -> str:
    """Return a name for the module of the factory that no module of the folder has."""
    names = chain((_FACTORY, "agentroute_factory"), (f"{_FACTORY}_{number}" for number in count(2)))
    return next(
        name
        for name in names
        if not os.path.lexists(source.folder / f"{name}.py") and not os.path.lexists(source.folder / name)
    )


def _delete(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


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
        _refuse_own(place.partition(".")[0], place)
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
    _refuse_own(parts[0], place)
    return Source(folder, ".".join(parts), attribute, path)


def _refuse_own(name: str, place: str) -> None:
    if name in OWN_PACKAGES:
        raise ConfigurationError(
            f"{place} cannot be imported: {name} is the name of a package of AgentRoute. Rename yours"
        )


def _factory_of(source: Source, found: Any, factory: str) -> tuple[str, str]:
    """Return the reference of the factory, and the code of its module; no code if the function is a factory already."""
    if inspect.isclass(found):
        raise ConfigurationError(
            f"{source.reference} is a class: name an agent, or a function without parameters that makes one"
        )
    written = f"{factory}:create_agent"
    if not inspect.isroutine(found):
        if not hasattr(found, "reply"):
            raise ConfigurationError(
                f"{source.reference} is a {type(found).__name__}: name an agentscope.agent.Agent, or a function that makes one"
            )
        return written, _code(source, "", "")
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError) as exc:
        raise ConfigurationError(f"{source.reference} is no function of yours: {exc}") from exc
    needed = [
        parameter
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if not needed:
        return written, _code(source, "await " if inspect.iscoroutinefunction(found) else "", "()")
    if len(needed) > 1 or not _is_run(needed[0]):
        names = ", ".join(parameter.name for parameter in needed)
        raise ConfigurationError(
            f"{source.reference} needs {names}: name a function that needs nothing, or one positional parameter, "
            + "called run or annotated AgentRun"
        )
    return source.reference, ""


def _is_run(parameter: inspect.Parameter) -> bool:
    """Whether a function expects the run there. Another parameter would get the run for a name, a path or a number."""
    if parameter.kind is parameter.KEYWORD_ONLY:
        return False
    said = parameter.annotation
    # By its name: the class itself would load AgentScope. As a string, it has the name that its module gives to it.
    name = said.strip("'\"").rpartition(".")[2] if isinstance(said, str) else getattr(said, "__name__", "")
    return parameter.name == "run" or name == _RUN


def _code(source: Source, wait: str, call: str) -> str:
    # A plain function where nothing is awaited: it runs in a thread, so the user's code may block. Under a name of
    # its own, because what the user calls `run` or `create_agent` would be hidden.
    return f'''"""Puts the agent of {source.module} behind AgentRoute. Nothing of the agent is changed."""

from agentroute.agents import AgentRun
from agentscope.agent import Agent

from {source.module} import {source.attribute} as _theirs


{"async " if wait else ""}def create_agent(run: AgentRun) -> Agent:
    """Make the agent of one run."""
    return {wait}_theirs{call}
'''


def _name_of(found: Any, source: Source) -> str:
    name = getattr(found, "name", None)
    return name[:64] if isinstance(name, str) and name else source.module.rpartition(".")[2][:64]


def _profile(name: str, factory: str) -> str:
    return f"""# Written by `agentroute import`. `agentroute check` prints what the agent amounts to.

name = {_toml(name)}
description = {_toml(f"The agent {name}.")}

[agent]
factory = "{factory}"
"""


def _toml(text: str) -> str:
    # A TOML string is written as a JSON string is, except for the one control character that JSON leaves as it is.
    # Half of a character, which Python allows, is no text.
    text = text.encode("utf-8", "replace").decode("utf-8")
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
