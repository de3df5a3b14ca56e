"""``agentroute embedded``: the whole service on one machine, without any other server.

Everything starts side by side: the processes of ours import while Postgres starts and is migrated, and wait for it
themselves. Listed in the order Postgres, Valkey, demo model, worker, API, and stopped in reverse order. A URL in the
environment replaces the server that it names. All child processes die with this process, even if this process is
killed. See docs/adr/0005.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from agentroute.embedded.api_service import ApiService
from agentroute.embedded.browser import open_browser
from agentroute.embedded.control import Control
from agentroute.embedded.demo_service import DemoService
from agentroute.embedded.directory_lock import DirectoryInUseError, DirectoryLock
from agentroute.embedded.handover import WorkerHandover
from agentroute.embedded.local_postgres import LocalPostgres
from agentroute.embedded.local_server import LocalServerError
from agentroute.embedded.local_valkey import LocalValkey
from agentroute.embedded.model_change import ModelChange
from agentroute.embedded.model_notice import tell_of_model
from agentroute.embedded.model_use import ModelUse
from agentroute.embedded.own_key import own_key
from agentroute.embedded.python_service import Probe, PythonService, answers, stop_leftovers
from agentroute.embedded.supervisor import StopRequestedError, Supervisor
from agentroute.embedded.worker_service import WorkerService
from agentroute.own_packages import shadowed_packages
from core.agentscope.schemas.links import API_PREFIX
from core.config import Settings, unknown_variables
from core.errors import ConfigurationError
from core.loopback import is_loopback, refuse_origins_of_anybody

_LOOPBACK = "127.0.0.1"
# Python imports on a slow, cold disk; a healthy start takes a tenth of it.
_START_SECONDS = 120.0
_PATIENCE = ("--wait", str(_START_SECONDS))
# On top of a process's own drain, before SIGKILL.
_STOP_MARGIN_SECONDS = 5.0


def run_embedded(
    settings: Settings,
    *,
    host: str | None = None,
    port: int | None = None,
    metrics_port: int | None = None,
    data_dir: Path | None = None,
    browse: bool = False,
    run: Callable[[Embedded], None] | None = None,
) -> int:
    """Run everything until a stop signal; returns the exit code.

    Args:
        settings: What the environment says.
        host: Address to listen on; the settings' when None.
        port: Port; the settings' when None; 0 takes a free one.
        metrics_port: Port for the metrics of all processes; the settings' when None, and none if they name none either.
        data_dir: Where data and logs are kept; the settings', else ``./.agentroute``.
        browse: Open the page in a browser once the service is ready.
        run: Starts the instance and watches it until a stop signal; :meth:`Embedded.run` when None.

    Raises:
        ConfigurationError: Other machines, or pages of anybody, could reach the service without authentication.
        LocalServerError: The directory or the port is in use, or a part does not start.
    """
    host = host or settings.server.host
    directory = (data_dir or settings.data_dir or Path(".agentroute")).absolute()
    _refuse_open_house(settings, host)
    lock = _own(directory)
    try:
        port = _usable_port(host, settings.server.port if port is None else port)
        metrics = _metrics_address(settings, metrics_port, taken=port)
        lock.note(f"{_url(host, port)} (process {os.getpid()})")
        with Supervisor(_say) as supervisor:
            try:
                instance = Embedded(
                    settings, supervisor, directory, host=host, port=port, metrics=metrics, browse=browse
                )
                (run or Embedded.run)(instance)
            except StopRequestedError:
                pass
        _say("Stopped.")
        return 0
    finally:
        lock.release()


class Embedded:
    """The parts of one instance, and the order in which they start."""

    def __init__(
        self,
        settings: Settings,
        supervisor: Supervisor,
        data_dir: Path,
        *,
        host: str,
        port: int,
        metrics: tuple[str, int] | None = None,
        browse: bool = False,
    ) -> None:
        self._settings = settings
        self.supervisor = supervisor
        self.data_dir = data_dir
        self._host = host
        self._port = port
        self._metrics = metrics
        self._browse = browse
        self._env = {
            "AGENT_SERVER__HOST": host,
            "AGENT_SERVER__PORT": str(port),
            "AGENT_DATA_DIR": str(data_dir),
            "AGENT_SERVER__PUBLIC_URL": settings.server.public_url or f"http://{_LOOPBACK}:{port}",
            # A page in development is delivered by another port of this machine.
            "AGENT_SERVER__CORS_LOOPBACK": os.environ.get("AGENT_SERVER__CORS_LOOPBACK", "true"),
            # A process that ended is there again in about a second, and its few clients are no crowd.
            "AGENT_STREAM__RETRY_MILLISECONDS": os.environ.get("AGENT_STREAM__RETRY_MILLISECONDS", "250"),
        }
        """What the children get over the environment of this process."""
        self._alive = set[str]()
        self.model = ModelUse(
            settings, self._env, data_dir, new_demo=self._new_demo, start=supervisor.start, say=_say
        )
        self.worker = self.new_worker(1)
        self.api = self._new_api()
        self.metrics_page = None if metrics is None else self._new_metrics_page(*metrics)
        self.valkey: LocalValkey | None = None
        self.handover = WorkerHandover(self)
        change = ModelChange(
            self.model, self.handover, renew_api=lambda: supervisor.renew(self.api), say=_say
        )
        self.control = Control(self, change)
        self._started_at = time.monotonic()

    def run(self) -> None:
        """Start everything, and keep it running until a stop signal.

        Raises:
            StopRequestedError: A stop signal came during the start.
            LocalServerError: A part does not start; says which and why.
        """
        self.begin()
        self.wait_until_ready()
        self.supervisor.watch(self.control.turn, heard=self.control.heard)

    def begin(self, *, check_profile: bool = True) -> None:
        """Start every part that the environment does not replace. The stores can be used then.

        Args:
            check_profile: Whether a profile that cannot be used is refused. It waits for a process that lists the user's
                tools.

        Raises:
            StopRequestedError: A stop signal came first.
            LocalServerError: A part does not start; says which and why.
        """
        for name in unknown_variables():
            _say(f"warning: {name} is not a setting and has no effect")
        if not self._settings.identity.has_tokens:
            self._env.setdefault("AGENT_IDENTITY__MODE", os.environ.get("AGENT_IDENTITY__MODE", "local"))
        for package in shadowed_packages():
            _say(f"warning: {package.line}")
        if check_profile:
            self._check_profile()
        self._started_at = time.monotonic()
        stop_leftovers(self.data_dir)
        servers = self._begin_servers()
        self.model.begin(self._env.get("AGENT_SECRETS__KEY") or self._settings.secrets.key.get_secret_value())
        self.start_processes()
        for server in servers:
            server.wait()
        self._check_stores()
        self._migrate()
        if self.model.source != "demo":
            # After the last fork, and beside the seconds in which the processes import.
            tell_of_model(self.model.settings, _say)

    def wait_until_ready(self) -> None:
        """Wait until requests can be served, and say how to send one.

        Raises:
            StopRequestedError: A stop signal came first.
            LocalServerError: A part does not start; says which and why.
        """
        for service in (self.model.demo, self.worker, self.api, self.metrics_page):
            if service is not None:
                self.supervisor.wait_until(service, lambda service=service: service.ready, _START_SECONDS)
        _say(f"  done in {time.monotonic() - self._started_at:.1f} s")
        if self.model.source == "demo":
            _say(
                "The model is the bundled scripted demo, not an AI; an agent may bring its own."
                + " Choose a real one on the page, or with AGENT_MODEL__BASE_URL."
            )
        url = _url(self._host, self._port)
        _say(f"Logs: {self.data_dir / 'logs'}")
        if self._metrics is not None:
            _say(f"Metrics of all processes: {_url(*self._metrics)}/metrics")
        docs = "" if "docs" in self._settings.server.admin_only else ", docs at /docs"
        _say(f"AgentRoute is ready: {url}  (chat API at {API_PREFIX}{docs}) - Ctrl-C stops it")
        _say(_first_steps(url, self._settings))
        # The last line: what to do now.
        _say(f"Open {url}/ in a browser to chat.")
        if self._browse:
            open_browser(f"{url}/", _say)

    def _check_profile(self) -> None:
        """Report early, in one line, if the user's own profile or prices cannot be used."""
        if self._settings.profile_path is None and self._settings.model.prices_path is None:
            return  # Nothing of the user's. The processes check the bundled one, too.
        from agentroute.profile_check import check_profile

        profile = asyncio.run(check_profile(self._settings))
        if not profile.ok:
            raise LocalServerError(profile.line)

    def _begin_servers(self) -> list[LocalPostgres | LocalValkey]:
        """Start Postgres and Valkey, unless the environment replaces them, without a wait for their answers."""
        servers: list[LocalPostgres | LocalValkey] = []
        if not self._settings.database.url.get_secret_value():
            postgres = LocalPostgres(self.data_dir / "postgres", log_path=self._log("postgres"))
            self._env["AGENT_DATABASE__URL"] = postgres.url
            if not (postgres.data_dir / "data").exists():
                _say("Creating a database ...")
            servers.append(postgres)
        if not self._settings.redis.url.get_secret_value():
            valkey = LocalValkey(self.data_dir / "valkey", log_path=self._log("valkey"))
            self._env["AGENT_REDIS__URL"] = valkey.url
            self.valkey = valkey
            servers.append(valkey)
        if not self._settings.files.is_on:
            self._env["AGENT_FILES__URL"] = (self.data_dir / "files").absolute().as_uri()
        if not self._settings.secrets.key.get_secret_value():
            self._env["AGENT_SECRETS__KEY"] = own_key(self.data_dir / "secrets.key")
        names = [server.title for server in servers]
        _say(f"Starting {', '.join([*names, 'the API'])} and a worker ...")
        for server in servers:
            self.supervisor.start(server, begin=server.begin)
        return servers

    def _new_demo(self) -> DemoService:
        return DemoService(data_dir=self.data_dir, env=self._env, stop_seconds=1.0 + _STOP_MARGIN_SECONDS)

    def _check_stores(self) -> None:
        """Report early, in one line, if the user's own database or Redis cannot be used."""
        own = [name for name in ("AGENT_DATABASE__URL", "AGENT_REDIS__URL") if name not in self._env]
        if not own:
            return
        # Here, not above: most starts need no client of either.
        from agentroute.preflight import check_postgres
        from agentroute.redis_check import check_redis

        checks = {"AGENT_DATABASE__URL": check_postgres, "AGENT_REDIS__URL": check_redis}
        for variable in own:
            result = asyncio.run(checks[variable](self._settings))
            if not result.ok:
                raise LocalServerError(result.line)
            _say(f"{result.name} of {variable}: {result.found}")

    def _migrate(self) -> None:
        # Here: the processes are already starting, and import meanwhile.
        from agentroute.schema_state import find_state, schema
        from core.postgres_connection import dsn_of

        url = self._env.get("AGENT_DATABASE__URL") or self._settings.database.direct
        if schema().judge(asyncio.run(find_state(dsn_of(url)))) == "current":
            return
        from agentroute import migrations

        _say("Applying migrations ...")
        try:
            asyncio.run(migrations.upgrade(url))
        except migrations.MigrationError as exc:
            raise LocalServerError(str(exc)) from exc

    def start_processes(self) -> None:
        """Start the worker and the API, without a wait."""
        # The worker first: it imports longer, and is to stop after the API has drained.
        self.supervisor.start(self.worker, on_end=self.worker.ended)
        self.supervisor.start(self.api)
        if self.metrics_page is not None and self.supervisor.report(self.metrics_page) is None:
            self.supervisor.start(self.metrics_page)

    def stop_processes(self) -> None:
        """Stop the worker and the API; the stores run on."""
        self.supervisor.dismiss(self.api)
        self.supervisor.dismiss(self.worker)

    def new_worker(self, number: int) -> WorkerService:
        """Return a worker that is not started.

        Args:
            number: Of a worker that runs beside others, one that none of them has.
        """
        return WorkerService(
            data_dir=self.data_dir,
            env=self._env,
            say=_say,
            options=_PATIENCE,
            stop_seconds=self._settings.worker.drain_seconds + _STOP_MARGIN_SECONDS,
            shows_metrics=self._metrics is not None,
            number=number,
            alive=self._alive,
        )

    def _new_api(self) -> ApiService:
        server = self._settings.server.model_copy(update={"host": self._host, "port": self._port})
        host, port = server.readiness
        host = _reachable(host)
        return ApiService(
            data_dir=self.data_dir,
            env=self._env,
            options=_PATIENCE,
            stop_seconds=self._settings.server.drain_seconds + _STOP_MARGIN_SECONDS,
            shows_metrics=self._metrics is not None,
            probe=answers(host, port, "/readyz"),
        )

    def _new_metrics_page(self, host: str, port: int) -> PythonService:
        options = [str(self.data_dir / "logs"), "--host", host, "--port", str(port)]
        return self._service(
            "Metrics",
            ["agentroute.embedded.metrics_page", *options],
            1.0,
            answers(_reachable(host), port, "/healthz"),
        )

    def _service(self, title: str, arguments: list[str], drain_seconds: float, probe: Probe) -> PythonService:
        return PythonService(
            title,
            arguments,
            data_dir=self.data_dir,
            env=self._env,
            stop_seconds=drain_seconds + _STOP_MARGIN_SECONDS,
            probe=probe,
        )

    def _log(self, name: str) -> Path:
        return self.data_dir / "logs" / f"{name}.log"


def _first_steps(url: str, settings: Settings) -> str:
    """Return a command to paste: the first question to the agent."""
    token = "-H 'Authorization: Bearer …' " if settings.identity.has_tokens else ""
    body = '{"messages": [{"id": "m-1", "role": "user", "content": "what is 6*7"}]}'
    return (
        f"Try it: curl -N {url}{API_PREFIX}/runs {token}-H 'Accept: text/event-stream' "
        f"-H 'Content-Type: application/json' -d '{body}'"
    )


def _refuse_open_house(settings: Settings, host: str) -> None:
    if settings.identity.has_tokens:
        return
    refuse_origins_of_anybody(settings.server.cors_origins)
    if not is_loopback(host):
        raise ConfigurationError(
            f"{host} is reachable from other machines: set AGENT_IDENTITY__JWT_SECRET (at least 32 bytes), or listen on {_LOOPBACK}"
        )


def _own(directory: Path) -> DirectoryLock:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
        # The directory is often inside a repository, and must never be committed.
        (directory / ".gitignore").write_text("*\n")
        lock = DirectoryLock(directory)
        lock.acquire()
    except DirectoryInUseError as exc:
        raise LocalServerError(
            f"AgentRoute already runs on {directory}: {exc.note or 'it is just starting'}. Stop it, or choose another --data-dir"
        ) from exc
    except OSError as exc:
        raise LocalServerError(
            f"{directory} cannot be used: {exc.strerror}. Choose another --data-dir"
        ) from exc
    return lock


def _metrics_address(settings: Settings, port: int | None, *, taken: int) -> tuple[str, int] | None:
    port = settings.metrics.port if port is None else port
    if port is None:
        return None
    if port == taken:
        raise LocalServerError(f"port {port} is that of the API: choose another --metrics-port")
    return settings.metrics.host, _usable_port(settings.metrics.host, port, option="--metrics-port")


def _reachable(host: str) -> str:
    # 0.0.0.0 and :: are addresses to listen on; not every system can connect to them.
    return {"0.0.0.0": _LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104


def _usable_port(host: str, port: int, *, option: str = "--port") -> int:
    """Check that something will be able to listen; returns the port, chosen when 0."""
    try:
        family, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.create_server(address[:2], family=family) as probe:
            return int(probe.getsockname()[1])
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            raise LocalServerError(
                f"port {port} on {host} is in use: stop the other program or choose another {option}"
            ) from exc
        raise LocalServerError(
            f"cannot listen on {host}, port {port}: {exc.strerror}. Choose another --host or {option}"
        ) from exc


def _url(host: str, port: int) -> str:
    return f"http://{_shown(host)}:{port}"


def _shown(host: str) -> str:
    if host in {"0.0.0.0", "::"}:  # noqa: S104
        return "localhost"
    return f"[{host}]" if ":" in host else host


def _say(line: str) -> None:
    try:
        print(line, flush=True)
    except OSError:
        # The terminal or the reader of the pipe was closed. This is no reason to stop; later lines are discarded.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
