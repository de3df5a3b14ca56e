"""Official clients, in Node, against the running service.

The Node project of this directory holds ``@ag-ui/client`` in the two versions
that are in use, ``copilotkit/`` the real CopilotKit runtime. They are installed
from their lock files when first asked for. Without Node, or when the packages
cannot be had, the tests skip with the reason; in CI (``CI=true``) they fail.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Protocol

import httpx
import pytest

# Before the import: a failed judgment is to say what differs.
pytest.register_assert_rewrite("tests.support.client_report")

from tests.support.client_report import ClientReport  # noqa: E402
from tests.support.embedded_service import embedded_service  # noqa: E402
from tests.support.node_project import NodeProgram, NodeProject, NodeUnavailableError  # noqa: E402

from core.agentscope import runtime  # noqa: E402

_HERE = Path(__file__).parent
_SUBAGENT = """
[[subagents]]
name = "researcher"
description = "Answers one question."
prompt = "Answer the question."
tools = ["calculate"]
"""


class Drive(Protocol):
    """Runs a scenario of ``scenarios.mjs`` and judges its report; see ``ClientReport.judge``."""

    def __call__(self, scenario: str, *argument: str, complaints: tuple[str, ...] = ()) -> ClientReport: ...


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of the API of an embedded service, shared by all tests here: each has threads of its own."""
    directory = tmp_path_factory.mktemp("service")
    profile = directory / "profile.toml"
    profile.write_text(files(runtime).joinpath("default_profile.toml").read_text() + _SUBAGENT)
    with embedded_service(directory / "data", {"AGENT_PROFILE_PATH": str(profile)}) as url:
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
def stock_clients(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Drive]]:
    """The official client by its version, started once a session."""
    project = installed(_HERE)
    service: str = request.getfixturevalue("service")
    started: dict[str, Drive] = {}
    with ExitStack() as programs:

        def client(version: str) -> Drive:
            if version not in started:
                program = project.start("drive.mjs", service, version)
                started[version] = programs.enter_context(driving(program, service))
            return started[version]

        yield client


@pytest.fixture(scope="session")
def copilotkit(request: pytest.FixtureRequest) -> Iterator[Drive]:
    """A page in front of the real CopilotKit runtime in front of the service."""
    project = installed(_HERE / "copilotkit")
    service: str = request.getfixturevalue("service")
    with driving(project.start("drive.mjs", service), service) as drive:
        yield drive


@pytest.fixture(params=["1.0.0", "0.0.59"])
def version(request: pytest.FixtureRequest) -> str:
    """Version of the official client: the protocol's 1.0, and what CopilotKit 1.75 is pinned to."""
    return request.param


@pytest.fixture
def drive(stock_clients: Callable[[str], Drive], version: str) -> Drive:
    """Drive the official client."""
    return stock_clients(version)


@contextmanager
def driving(program: NodeProgram, service: str) -> Iterator[Drive]:
    """Yield how to drive a program and judge what it reports; each scenario runs once."""

    with program, httpx.Client(base_url=service) as http:

        @cache
        def drive(scenario: str, *argument: str, complaints: tuple[str, ...] = ()) -> ClientReport:
            report = ClientReport(program.ask(" ".join((scenario, *argument))))
            report.judge(http, complaints=complaints)
            return report

        yield drive
