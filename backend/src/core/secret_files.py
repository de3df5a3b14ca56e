"""Secrets in files: ``AGENT_DATABASE__URL_FILE=/run/secrets/database`` in place of ``AGENT_DATABASE__URL``.

Rules:

1. A setting is a secret if its type holds a ``SecretStr``. Each of them has such a variable, no other setting has.
2. The file is read once, when the settings are. One line break at its end does not belong to the secret.
3. An empty variable counts as absent. Both variables of a secret, or a file that holds none, stop the start.
4. A message of this file says what is wrong with which variable, and never what is in the file.
"""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, SecretStr
from pydantic_settings import BaseSettings, EnvSettingsSource

SUFFIX = "_FILE"
MAX_BYTES = 64 << 10
"""Of a file. A long list of secrets takes a tenth of it; what is larger is some other file."""


class SecretFileError(Exception):
    """A variable with ``_FILE`` leads to no secret. ``problems`` has one line for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class SecretFilesSource(EnvSettingsSource):
    """The environment, with the secrets of files in place of the variables that name them.

    Raises:
        SecretFileError: A file cannot be used, or a secret is given twice.
    """

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        given = {name: value for name, value in self.env_vars.items() if value is not None}
        self.env_vars = with_secret_files(given, settings_cls)


@cache
def secret_variables(settings: type[BaseSettings]) -> frozenset[str]:
    """Return the variables of all secrets, such as ``AGENT_DATABASE__URL``."""
    return frozenset(_secrets(settings))


def with_secret_files(environ: Mapping[str, str], settings: type[BaseSettings]) -> dict[str, str]:
    """Return an environment in which each secret stands itself. Names count as upper case.

    Raises:
        SecretFileError: As :class:`SecretFilesSource`.
    """
    found = dict(environ)
    problems: list[str] = []
    for name in sorted(environ):
        plain = name[: -len(SUFFIX)]
        if not name.upper().endswith(SUFFIX) or plain.upper() not in secret_variables(settings):
            continue
        path = found.pop(name)
        if not path:
            continue
        if any(value and other.upper() == plain.upper() for other, value in environ.items()):
            problems.append(f"{name.upper()} and {plain.upper()} are both set: remove one of them")
            continue
        try:
            found[plain] = read_secret(path)
        except ValueError as exc:
            problems.append(f"{name.upper()}: {exc}")
    if problems:
        raise SecretFileError(problems)
    return found


def variables_in_use(environ: Mapping[str, str], settings: type[BaseSettings]) -> dict[str, str]:
    """Return the variable of each secret that a file holds, by the variable that the secret would have without."""
    return {
        name.upper()[: -len(SUFFIX)]: name.upper()
        for name, value in environ.items()
        if value
        and name.upper().endswith(SUFFIX)
        and name.upper()[: -len(SUFFIX)] in secret_variables(settings)
    }


def read_secret(path: str) -> str:
    """Return the secret in a file, without one line break at its end.

    Raises:
        ValueError: The file cannot be read, or holds no secret. The text names neither the file's content nor its path.
    """
    try:
        # Without a wait: a named pipe would hold the start until somebody writes.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            data = _read(descriptor)
        finally:
            os.close(descriptor)
    except OSError as exc:
        raise ValueError(f"the file cannot be read: {exc.strerror}") from None
    return _secret(data)


def _read(descriptor: int) -> bytes:
    """Return what a file has, and a byte more than a secret may have if it is larger."""
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(kind):
        raise ValueError("is a directory; name a file in it")
    if not stat.S_ISREG(kind):
        raise ValueError("is no regular file")
    data = b""
    while len(data) <= MAX_BYTES and (more := os.read(descriptor, MAX_BYTES + 1 - len(data))):
        data += more
    return data


def _secret(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise ValueError(f"the file has more than {MAX_BYTES} bytes, so it is no secret")
    if data.startswith(codecs.BOM_UTF8):
        raise ValueError("the file begins with a byte order mark; save it as UTF-8 without one")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        # Not `from exc`: the error has the bytes.
        raise ValueError("the file is not UTF-8 text") from None
    if "\0" in text:
        raise ValueError("the file is not text: it has a byte of zero")
    text = text.removesuffix("\n").removesuffix("\r")
    if not text.strip():
        raise ValueError("the file is empty")
    return text


def _secrets(settings: type[BaseSettings]) -> Iterator[str]:
    prefix = settings.model_config.get("env_prefix", "")
    delimiter = settings.model_config.get("env_nested_delimiter") or ""
    for name, field in settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            for member, inner in field.annotation.model_fields.items():
                if _holds_secret(inner.annotation):
                    yield f"{prefix}{name}{delimiter}{member}".upper()
        elif _holds_secret(field.annotation):
            yield f"{prefix}{name}".upper()


def _holds_secret(annotation: Any) -> bool:
    """Return whether values of a type have secrets in them, however deep: in a list, in a model of a list."""
    if isinstance(annotation, type) and issubclass(annotation, SecretStr):
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return any(_holds_secret(field.annotation) for field in annotation.model_fields.values())
    return any(_holds_secret(part) for part in get_args(annotation))
