"""How commands read their settings, and how they fail: one line for each thing that a user can fix, and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from core.config import Settings


def read_settings(*required: str) -> Settings:
    """Read the settings. See :func:`agentroute.settings_errors.load_settings`."""
    from agentroute.settings_errors import load_settings

    return load_settings(*required)


@contextmanager
def errors_as_lines() -> Iterator[None]:
    """Show errors that a user can fix as one line each, without a traceback."""
    from agentroute.embedded.local_server import LocalServerError
    from agentroute.settings_errors import InvalidSettings
    from core.errors import ConfigurationError

    try:
        yield
    except InvalidSettings as exc:
        for problem in exc.problems:
            typer.echo(f"error: {problem}", err=True)
        raise typer.Exit(2) from None
    except ConfigurationError as exc:
        typer.echo(f"error: {exc}", err=True)
        raise typer.Exit(2) from None
    except LocalServerError as exc:
        fail(str(exc))


def fail(line: str) -> NoReturn:
    """End the command: something is missing or has failed."""
    typer.echo(f"error: {line}", err=True)
    raise typer.Exit(1)
