"""The ``agentroute`` command. Each subcommand imports its modules when it runs, so that the command starts quickly.

Exit codes: 0 success, 1 a required server or file is missing or failed, 2 invalid settings or arguments.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentroute.command_errors import errors_as_lines, fail, read_settings
from agentroute.first_process import end_on_sigterm
from agentroute.key_commands import keys
from agentroute.lean_imports import lean_imports
from agentroute.run_commands import runs
from agentroute.storage_commands import storage
from agentroute.user_commands import erase, export_user, import_user
from agentroute.webhook_commands import webhooks

if TYPE_CHECKING:
    from core.config import Settings

app = typer.Typer(
    help="A durable, resumable AG-UI service for AgentScope agents.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


_BUILD = "Build an agent"
_TALK = "Talk to it"
_OPERATE = "Run the service"
"""Parts of the help, in the order of their first commands."""

app.add_typer(keys, rich_help_panel=_OPERATE)
app.add_typer(runs, rich_help_panel=_OPERATE)
app.add_typer(storage, rich_help_panel=_OPERATE)
for _command in (erase, export_user, import_user):
    app.command(rich_help_panel=_OPERATE)(_command)
app.add_typer(webhooks, rich_help_panel=_OPERATE)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"agentroute {version('agentroute')}")
        raise typer.Exit


@app.callback()
def _main(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    end_on_sigterm()


_Host = Annotated[str | None, typer.Option(help="Address to listen on  [AGENT_SERVER__HOST]")]
_Port = Annotated[
    int | None, typer.Option(min=0, max=65535, help="Port; 0 chooses a free one  [AGENT_SERVER__PORT]")
]


_DataDir = Annotated[
    Path | None, typer.Option(help="Folder for all data  [AGENT_DATA_DIR, else ./.agentroute]")
]
_Open = Annotated[
    bool, typer.Option("--open", help="Open the chat page in the browser as soon as it can be used.")
]
_Wait = Annotated[
    float,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="How long to wait for Postgres, its migrations and Redis, if they start later.",
    ),
]


_MetricsPort = Annotated[
    int | None,
    typer.Option(
        min=0, max=65535, help="Port for /metrics, /healthz and /readyz  [AGENT_METRICS__PORT, else none]"
    ),
]


@app.command(rich_help_panel=_BUILD)
def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the new agent, such as shop; . for this one.")],
    name: Annotated[str | None, typer.Option(help="Name of the agent.", show_default="the folder's")] = None,
) -> None:
    """Write a new agent: profile, factory, tools. Nothing that exists is overwritten."""
    with errors_as_lines():
        from agentroute.starter.init_command import run_init

        raise typer.Exit(run_init(folder, name, typer.echo))


@app.command("import", rich_help_panel=_BUILD)
def import_agent(
    agent: Annotated[
        str,
        typer.Argument(
            metavar="FILE.py:NAME",
            help="An agent of AgentScope, or a function that makes one: my_agent.py:agent, or package.module:agent.",
        ),
    ],
) -> None:
    """Put an agent of a script behind the service: write a profile and a factory, and list what cannot be kept."""
    with errors_as_lines():
        from agentroute.starter.carried_agent import run_import

        def check(profile: Path, on_unusable: Callable[[], object]) -> int:
            typer.echo(
                "Nothing of the agent was rewritten. This is what it amounts to, and what cannot be kept:"
            )
            settings = read_settings()
            from agentroute.agent_check import run_check

            return run_check(settings, profile, as_json=False, on_unusable=on_unusable)

        raise typer.Exit(run_import(agent, typer.echo, check))


@app.command(rich_help_panel=_BUILD)
def dev(
    project: Annotated[
        Path | None,
        typer.Argument(
            help="Folder with agent.toml or agents/, or a profile  [AGENT_PROFILE_PATH, else this folder]"
        ),
    ] = None,
    host: _Host = None,
    port: _Port = None,
    data_dir: _DataDir = None,
    browse: _Open = False,
) -> None:
    """Run the agent of a folder on this machine, with its modules and its .env. Changed files are used at once."""
    with errors_as_lines():
        from agentroute.dev.session import run_dev

        raise typer.Exit(run_dev(project, host=host, port=port, data_dir=data_dir, browse=browse))


@app.command(rich_help_panel=_OPERATE)
def serve(
    host: _Host = None,
    port: _Port = None,
    metrics_port: _MetricsPort = None,
    wait: _Wait = 0,
    supervisor: Annotated[
        int | None,
        # For the embedded mode: only its API process has the other end.
        typer.Option(hidden=True, help="Descriptor of the line to the supervisor of an instance."),
    ] = None,
) -> None:
    """Run one API process. The settings come from AGENT_* variables; an option comes first."""
    with errors_as_lines():
        with lean_imports(worker=False):
            settings = _measured_on(
                _listening_on(read_settings("database", "redis"), host, port), metrics_port
            )
            from agentroute.server import run_server

            # By itself, the application imports this only when it opens one.
            importlib.import_module("agentroute.container")

        raise typer.Exit(run_server(settings, wait_seconds=wait, supervisor=supervisor))


@app.command(rich_help_panel=_OPERATE)
def worker(
    name: Annotated[
        str,
        # For a parent process: it knows when this process has ended, and tells by the name which runs are lost.
        typer.Option(hidden=True, help="Name of this process; never used for another one."),
    ] = "",
    wait: _Wait = 0,
    metrics_port: _MetricsPort = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(
            hidden=True,
            help="Made when the worker executes runs; says how many it still has when it begins no more.",
        ),
    ] = None,
) -> None:
    """Run one worker process, which executes runs."""
    with errors_as_lines():
        with lean_imports(worker=True):
            settings = _measured_on(read_settings("database", "redis"), metrics_port)
            from agentroute.worker import run_worker

        raise typer.Exit(
            run_worker(
                settings,
                worker_id=name,
                wait_seconds=wait,
                on_ready=None if ready_file is None else ready_file.touch,
                on_drain=None if ready_file is None else lambda runs: ready_file.write_text(str(runs)),
            )
        )


@app.command(rich_help_panel=_OPERATE)
def embedded(
    host: _Host = None,
    port: _Port = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port for /metrics of all processes  [AGENT_METRICS__PORT, else none]"
        ),
    ] = None,
    data_dir: _DataDir = None,
    browse: _Open = False,
) -> None:
    """Run everything on this machine: Postgres, Valkey, a demo model, the API, a worker and the chat page."""
    with errors_as_lines():
        settings = read_settings()
        from agentroute.embedded.service import run_embedded

        raise typer.Exit(
            run_embedded(
                settings, host=host, port=port, metrics_port=metrics_port, data_dir=data_dir, browse=browse
            )
        )


@app.command(rich_help_panel=_OPERATE)
def migrate(
    revision: Annotated[str, typer.Argument(help="Target revision.")] = "head",
    down: Annotated[bool, typer.Option("--down", help="Downgrade to the revision.")] = False,
) -> None:
    """Migrate the database schema to the newest revision. Several processes may do this at the same time."""
    with errors_as_lines():
        settings = read_settings("database")
        from agentroute import migrations
        from agentroute.preflight import check_postgres

        reachable = asyncio.run(check_postgres(settings))
        if not reachable.ok:
            fail(reachable.line)
        url = settings.database.direct
        try:
            asyncio.run((migrations.downgrade if down else migrations.upgrade)(url, revision))
            typer.echo(f"The schema is at {asyncio.run(migrations.current(url)) or 'nothing'}.")
        except migrations.MigrationError as exc:
            fail(str(exc))


@app.command(rich_help_panel=_OPERATE)
def rotate_secrets() -> None:
    """Encrypt what is stored for users with the first key of AGENT_SECRETS__KEY, so that older keys can go."""
    with errors_as_lines():
        settings = read_settings("database")
        from agentroute.command_database import with_engine
        from agentroute.secret_rotation import rotate_secrets

        told, complete = with_engine(
            settings, lambda engine: rotate_secrets(engine, settings.secrets), "agentroute-rotate"
        )
        typer.echo(told)
        raise typer.Exit(0 if complete else 1)


@app.command(rich_help_panel=_OPERATE)
def restored(
    keep_redis: Annotated[
        bool, typer.Option("--keep-redis", help="Redis is empty already, or of another deployment.")
    ] = False,
) -> None:
    """Make a database usable that came out of a backup, before any process starts. Cursors of what was lost are refused."""
    with errors_as_lines():
        settings = read_settings("database", *(() if keep_redis else ("redis",)))
        from agentroute.command_database import with_engine
        from agentroute.restored import NAME, RedisAwayError, StillInUseError, make_usable

        try:
            done = with_engine(
                settings, lambda engine: make_usable(engine, settings, redis=not keep_redis), NAME
            )
            told = (
                f"{done.threads} threads count on from a new place, {done.live_runs} of their runs were live."
            )
            typer.echo(f"{told} Start the service.")
        except (StillInUseError, RedisAwayError) as exc:
            fail(str(exc))


@app.command(rich_help_panel=_OPERATE)
def partition() -> None:
    """Divide the log of events by days, so that retention drops tables instead of deleting rows. The service goes on."""
    with errors_as_lines():
        settings = read_settings("database")
        from agentroute.log_partitioning import PartitioningError, partition_log
        from agentroute.preflight import check_migrations, check_postgres

        for check in (check_postgres, check_migrations):
            if not (result := asyncio.run(check(settings))).ok:
                fail(result.line)
        try:
            is_new = asyncio.run(partition_log(settings.database, on_step=typer.echo))
        except PartitioningError as exc:
            fail(str(exc))
        typer.echo("The log is partitioned." if is_new else "The log was partitioned before.")


@app.command(rich_help_panel=_OPERATE)
def doctor() -> None:
    """Check what the service needs, and say how to fix what is missing."""
    with errors_as_lines():
        settings = read_settings()
        from agentroute.doctor import run_doctor

        raise typer.Exit(run_doctor(settings))


@app.command(rich_help_panel=_BUILD)
def check(
    profile: Annotated[
        Path | None,
        typer.Argument(
            help="The agent's profile, or its folder  [AGENT_PROFILE_PATH, else ./agent.toml or ./agents, "
            + "else the bundled one]"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make the agent once without a model call; print its tools, models and stages, and what is missing."""
    with errors_as_lines():
        from agentroute.project import find_project

        project = find_project(profile)
        project.enter()
        settings = read_settings()
        from agentroute.agent_check import run_check

        raise typer.Exit(run_check(settings, project.profile, as_json=as_json))


_Url = Annotated[
    str | None, typer.Option(help="Address of the service  [AGENTROUTE_URL, else http://127.0.0.1:8000]")
]
_TokenFile = Annotated[
    Path | None, typer.Option(help="File with the user's token  [AGENTROUTE_TOKEN: the token itself]")
]
_Agent = Annotated[str | None, typer.Option(help="Agent of the thread; the default one without.")]


@app.command(rich_help_panel=_TALK)
def chat(
    thread: Annotated[
        str | None, typer.Option(help="Thread to go on with; without it, a new one begins.")
    ] = None,
    agent: _Agent = None,
    url: _Url = None,
    token_file: _TokenFile = None,
) -> None:
    """Talk to an agent in the terminal. In a pipe: answer what standard input asks, and exit with 1 if that fails."""
    from agentroute.terminal.chat_program import ChatOptions, run_chat
    from agentroute.terminal.program import run_program

    options = ChatOptions(thread_id=thread, agent_id=agent, url=url, token_file=token_file)
    raise typer.Exit(run_program(lambda: run_chat(options)))


@app.command(rich_help_panel=_TALK)
def threads(
    words: Annotated[
        list[str] | None, typer.Argument(help="Only threads whose title or messages have these words.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many at most.")] = 30,
    agent: Annotated[str | None, typer.Option(help="Only threads of this agent.")] = None,
    url: _Url = None,
    token_file: _TokenFile = None,
) -> None:
    """List your threads, newest first."""
    from agentroute.terminal.program import run_program
    from agentroute.terminal.thread_programs import run_threads

    query = " ".join(words or ()) or None
    raise typer.Exit(
        run_program(lambda: run_threads(query, limit=limit, agent_id=agent, url=url, token_file=token_file))
    )


@app.command(rich_help_panel=_TALK)
def tail(
    thread: Annotated[str, typer.Argument(help="The thread.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as a line of JSON.")] = False,
    cursor: Annotated[
        str | None, typer.Option(help="Begin after this event; without it, with the live or latest run.")
    ] = None,
    url: _Url = None,
    token_file: _TokenFile = None,
) -> None:
    """Show what happens in a thread, of every run and every device, until Ctrl-C."""
    from agentroute.terminal.program import run_program
    from agentroute.terminal.thread_programs import run_tail

    raise typer.Exit(
        run_program(lambda: run_tail(thread, as_json=as_json, cursor=cursor, url=url, token_file=token_file))
    )


def _listening_on(settings: Settings, host: str | None, port: int | None) -> Settings:
    chosen = {name: value for name, value in {"host": host, "port": port}.items() if value is not None}
    return settings.model_copy(update={"server": settings.server.model_copy(update=chosen)})


def _measured_on(settings: Settings, port: int | None) -> Settings:
    if port is None:
        return settings
    return settings.model_copy(update={"metrics": settings.metrics.model_copy(update={"port": port})})


if __name__ == "__main__":
    sys.exit(app())
