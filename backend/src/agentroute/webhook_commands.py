"""``agentroute webhooks``: the endpoints of the deployment, for operators."""

from __future__ import annotations

from typing import Annotated

import typer

from agentroute.command_errors import errors_as_lines

webhooks = typer.Typer(
    name="webhooks", help="Endpoints that are told of the ends of runs.", no_args_is_help=True
)

_Name = Annotated[str, typer.Argument(metavar="ENDPOINT", help="Name of the endpoint in the settings.")]


@webhooks.command("list")
def list_endpoints(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the endpoints: their state, what waits for them, what was given up. Exit code 1 if one is off or fails."""
    with errors_as_lines():
        from agentroute.webhook_program import show_endpoints

        show_endpoints(as_json=as_json)


@webhooks.command()
def test(name: _Name) -> None:
    """Send an endpoint a message of the type webhook.test, once, and say what it answers."""
    with errors_as_lines():
        from agentroute.webhook_program import test_endpoint

        test_endpoint(name)


@webhooks.command()
def enable(name: _Name) -> None:
    """Let an endpoint that has answered 410 have its messages again. Those whose tries have failed are tried at once."""
    with errors_as_lines():
        from agentroute.webhook_program import enable_endpoint

        enable_endpoint(name)


@webhooks.command()
def replay(
    name: Annotated[
        str,
        typer.Argument(metavar="ENDPOINT", help="Name of the endpoint, or host:HOST for endpoints of runs."),
    ],
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Only runs that ended then or later, such as 2026-11-28T12:00:00Z."
        ),
    ] = None,
    delivered: Annotated[
        bool, typer.Option("--delivered", help="Also messages that the endpoint has taken.")
    ] = False,
) -> None:
    """Send messages again that were given up. Each keeps its id, so that a receiver drops what it has."""
    if delivered and since is None:
        raise typer.BadParameter("--delivered needs --since.")
    with errors_as_lines():
        from agentroute.webhook_program import replay_messages

        replay_messages(name, since=since, delivered=delivered)
