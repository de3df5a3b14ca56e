"""Turns invalid settings into error lines for the user. Each line names the variable to change."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError

from core.config import Settings
from core.secret_files import SUFFIX, SecretFileError, variables_in_use, with_secret_files

_REQUIRED = {"database": "postgresql://user:password@host:5432/name", "redis": "redis://host:6379/0"}


class InvalidSettings(Exception):
    """The environment variables are not valid settings.

    ``problems`` has one line each, and never the value of a variable: it may be a secret.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def load_settings(*required: str) -> Settings:
    """Read the settings of this process.

    Args:
        required: Sections whose ``url`` must be set: ``database``, ``redis``.

    Raises:
        InvalidSettings: A variable is wrong, unknown in its section, or missing.
    """
    try:
        settings = Settings()
    except SecretFileError as exc:
        raise InvalidSettings(exc.problems) from None
    except ValidationError as exc:
        raise InvalidSettings(_of_files(_of_values(exc))) from None
    except SettingsError as exc:
        found = _of_json(with_secret_files(os.environ, Settings))
        raise InvalidSettings(_of_files(found) or [str(exc)]) from None
    missing = [name for name in required if not getattr(settings, name).url.get_secret_value()]
    if missing:
        raise InvalidSettings(
            [
                f"AGENT_{name.upper()}__URL is not set: set it to {_REQUIRED[name]}, or start `agentroute embedded`"
                for name in missing
            ]
        )
    return settings


def _of_values(error: ValidationError) -> list[str]:
    lines: list[str] = []
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        # The location inside a list or mapping belongs to the value, not to the name.
        variable = "AGENT_" + "__".join(str(part).upper() for part in problem["loc"][:2])
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "model_type":
            lines.append(_not_a_section(str(problem["loc"][0])))
        elif problem["type"] == "extra_forbidden":
            lines.append(f"{variable}: {_why_absent(problem['loc'][:2])}")
        elif message.startswith("AGENT_"):
            lines.append(message)
        else:
            lines.append(f"{variable}: {message[:1].lower()}{message[1:]}")
    return lines


def _of_files(lines: Iterable[str]) -> list[str]:
    """Name the variables that are set: the one of a file, where a file holds the secret."""
    variables = variables_in_use(os.environ, Settings)
    return [re.sub(r"\bAGENT_\w+", lambda name: variables.get(name[0], name[0]), line) for line in lines]


def _why_absent(place: tuple[int | str, ...]) -> str:
    section, member = (str(part).lower() for part in place)
    plain = member.removesuffix(SUFFIX.lower())
    if member != plain and plain in _members(section):
        return f"only secrets are read from files; set AGENT_{section.upper()}__{plain.upper()}"
    return "this setting does not exist"


def _of_json(environ: Mapping[str, str]) -> Iterator[str]:
    """Find the variables that pydantic-settings could not parse; its error names only their section."""
    for name in sorted(environ):
        section, _, member = name.upper().removeprefix("AGENT_").partition("__")
        if not name.upper().startswith("AGENT_") or section.lower() not in Settings.model_fields:
            continue
        if not member and _members(section.lower()):
            yield _not_a_section(section.lower())
        elif environ[name] and _is_list(section.lower(), member.lower()) and not _is_json(environ[name]):
            yield f'{name}: expected a JSON list, such as ["one", "two"]'


def _not_a_section(section: str) -> str:
    name = f"AGENT_{section.upper()}"
    return f"{name}: is a group of settings; set one of them, such as {name}__{next(iter(_members(section))).upper()}"


def _members(section: str) -> dict[str, Any]:
    """The settings of a section by name; empty for a setting that stands alone."""
    return getattr(Settings.model_fields[section].annotation, "model_fields", {})


def _is_list(section: str, member: str) -> bool:
    field = _members(section).get(member)
    return field is not None and "tuple" in str(field.annotation)


def _is_json(value: str) -> bool:
    try:
        json.loads(value)
    except json.JSONDecodeError:
        return False
    return True
