"""Official clients, in Node, against the running service.

The Node project of this directory holds ``@ag-ui/client`` in the two versions
that are in use, ``copilotkit/`` the real CopilotKit runtime. They are installed
from their lock files when first asked for. Without Node, or when the packages
cannot be had, the tests skip with the reason; in CI (``CI=true``) they fail.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

# Before the import: a failed judgment is to say what differs.
pytest.register_assert_rewrite("tests.support.client_report")

from tests.support.client_report import ClientReport  # noqa: E402
from tests.support.client_service import client_service  # noqa: E402
from tests.support.node_project import NodeProgram, NodeProject, NodeUnavailableError  # noqa: E402

_HERE = Path(__file__).parent
_VERSIONS = ("1.0.0", "0.0.59")
"""Of the official client: the protocol's 1.0, and what CopilotKit 1.75 is pinned to."""

Drive = Callable[..., ClientReport]
"""``drive(scenario, *argument, complaints=())``: see ``Driver``."""


class Driver:
    """Runs scenarios of ``scenarios.mjs`` one after the other, each once, and judges their reports."""

    def __init__(self, program: NodeProgram, thread: ThreadPoolExecutor, http: httpx.Client) -> None:
        self._program = program
        self._thread = thread
        self._http = http
        self._asked: dict[str, Future[dict[str, Any]]] = {}

    def begin(self, scenario: str, *argument: str) -> Future[dict[str, Any]]:
        """Run a scenario in the background."""
        line = " ".join((scenario, *argument))
        if line not in self._asked:
            self._asked[line] = self._thread.submit(self._program.ask, line)
        return self._asked[line]

    def __call__(self, scenario: str, *argument: str, complaints: tuple[str, ...] = ()) -> ClientReport:
        """Run a scenario and return its report; ``complaints`` as in ``ClientReport.judge``."""
        report = ClientReport(self.begin(scenario, *argument).result())
        report.judge(self._http, complaints=complaints)
        return report


@contextmanager
def driving(program: NodeProgram, service: str) -> Iterator[Driver]:
    """Drive a program until the end of the context."""
    with program, ThreadPoolExecutor(1) as thread, httpx.Client(base_url=service) as http:
        yield Driver(program, thread, http)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of the API of an embedded service, shared by all tests here: each has threads of its own."""
    with client_service(tmp_path_factory.mktemp("service")) as url:
        yield url


def installed(directory: Path) -> NodeProject:
    """Return a Node project, installed, or end the test."""
    project = NodeProject(directory)
    try:
        project.install()
    except NodeUnavailableError as exc:
        if os.environ.get("CI") == "true":
            pytest.fail(str(exc))
        pytest.skip(str(exc))
    return project


@pytest.fixture(scope="session")
def stock_clients(request: pytest.FixtureRequest) -> Iterator[dict[str, Driver]]:
    """The official client by its version."""
    project = installed(_HERE)
    service: str = request.getfixturevalue("service")
    with ExitStack() as stack:
        yield {
            version: stack.enter_context(driving(project.start("drive.mjs", service, version), service))
            for version in _VERSIONS
        }


@pytest.fixture(scope="session")
def copilotkit(request: pytest.FixtureRequest) -> Iterator[Drive]:
    """A page in front of the real CopilotKit runtime in front of the service."""
    project = installed(_HERE / "copilotkit")
    service: str = request.getfixturevalue("service")
    with driving(project.start("drive.mjs", service), service) as driver:
        yield driver


@pytest.fixture(params=_VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    """Version of the official client."""
    return request.param


@pytest.fixture
def drive(stock_clients: dict[str, Driver], version: str) -> Drive:
    """Drive the official client; the other version goes ahead at the same time, for the next test."""

    def drive(scenario: str, *argument: str, complaints: tuple[str, ...] = ()) -> ClientReport:
        for driver in stock_clients.values():
            driver.begin(scenario, *argument)
        return stock_clients[version](scenario, *argument, complaints=complaints)

    return drive
