"""``agentroute runs``: what runs wait for, of all users, in the database. For operators."""

from __future__ import annotations

from typing import Annotated

import typer

from agentroute.command_errors import errors_as_lines

runs = typer.Typer(name="runs", help="Runs of all users, and why they wait.", no_args_is_help=True)

_Row = Annotated[int, typer.Argument(metavar="ID", min=1, max=2**63 - 1, help="As the list names it.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@runs.command("list")
def list_runs(
    status: Annotated[
        list[str] | None,
        typer.Option(
            help="waiting, queued, running, succeeded, interrupted, cancelled or failed; may be repeated.",
            show_default="those that have not ended",
        ),
    ] = None,
    cause: Annotated[str | None, typer.Option(help="Only runs with this cause, such as no-worker.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only runs of this tenant.")] = None,
    user: Annotated[str | None, typer.Option(help="Only runs of this user.")] = None,
    thread: Annotated[
        str | None, typer.Option(help="Only runs of this thread; needs --user. The tenant is default then.")
    ] = None,
    worker: Annotated[str | None, typer.Option(help="Only runs that this worker has, or had last.")] = None,
    older_than: Annotated[
        float, typer.Option(min=0, max=1e9, metavar="SECONDS", help="Only runs accepted so long ago.")
    ] = 0.0,
    attempts: Annotated[
        int, typer.Option(min=0, max=32_000, help="Only runs that so many workers have begun.")
    ] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    as_json: _Json = False,
) -> None:
    """List runs, newest first: whose they are, how old, and why they wait."""
    with errors_as_lines():
        from agentroute.run_program import show_runs

        show_runs(
            statuses=status or (),
            cause=cause,
            tenant_id=tenant,
            user_id=user,
            thread_id=thread,
            worker_id=worker,
            older_than_seconds=older_than,
            min_attempts=attempts,
            limit=limit,
            as_json=as_json,
        )


@runs.command()
def show(row: _Row, as_json: _Json = False) -> None:
    """Show everything that is known of a run."""
    with errors_as_lines():
        from agentroute.run_program import show_run

        show_run(row, as_json=as_json)


@runs.command()
def why(row: _Row, as_json: _Json = False) -> None:
    """Say why a run is where it is, and what to do."""
    with errors_as_lines():
        from agentroute.run_program import explain_run

        explain_run(row, as_json=as_json)


@runs.command()
def cancel(row: _Row) -> None:
    """Stop a run for its user. What it has shown stays in history."""
    with errors_as_lines():
        from agentroute.run_program import cancel_run

        cancel_run(row)


@runs.command()
def requeue(row: _Row) -> None:
    """Tell workers of a queued run again; queue a running one whose worker is lost and that showed nothing."""
    with errors_as_lines():
        from agentroute.run_program import requeue_run

        requeue_run(row)
