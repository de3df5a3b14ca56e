"""The built wheel, outside of the checkout: what is in it, and that it alone gives an answer, a page and a new agent."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import orjson
import psutil
import pytest
from tests.support import built_package
from tests.support.built_package import BACKEND, ROOT
from tests.support.limits import HUNG_SECONDS
from tests.support.ports import reserved_port

pytestmark = pytest.mark.slow

_READY = "AgentRoute is ready: "


class Package(NamedTuple):
    """What was built, and where it is installed."""

    sdist: Path
    wheel: Path
    programs: Path
    home: Path

    def run(self, *command: str) -> str:
        return built_package.run_program(
            [str(self.programs / command[0]), *command[1:]],
            cwd=self.home,
            env=built_package.clean_environment(self.home),
        )


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    folder = tmp_path_factory.mktemp("package")
    home = folder / "home"
    home.mkdir()
    sdist = built_package.build_sdist(folder / "sdist")
    (folder / "wheel").mkdir()
    wheel = built_package.build_wheel(sdist, folder / "wheel")
    return Package(sdist, wheel, built_package.install(wheel, folder / "environment"), home)


def test_sdist_and_wheel_have_every_source_and_nothing_else(package: Package) -> None:
    assert built_package.files_of_sdist(package.sdist) == built_package.expected_in_sdist()
    packed = built_package.files_of_wheel(package.wheel)
    assert packed == built_package.expected_in_wheel()
    # What a service reads that is no module: these would be missed only when somebody asks for them.
    assert {name.rsplit(".", 1)[1] for name in packed} >= {
        "css",
        "html",
        "js",
        "json",
        "md",
        "svg",
        "toml",
        "txt",
    }


def test_the_license_in_the_package_is_that_of_the_repository() -> None:
    assert (BACKEND / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_commands_are_there(package: Package) -> None:
    version = tomllib.loads((BACKEND / "pyproject.toml").read_text())["project"]["version"]
    assert package.run("agentroute", "--version") == f"agentroute {version}\n"
    told = package.run("agentroute", "--help")
    for command in ("embedded", "serve", "worker", "migrate", "doctor", "init", "chat"):
        assert re.search(rf"^\W*{command}\s", told, re.MULTILINE), told


def test_no_module_and_no_line_of_it_is_of_the_checkout(package: Package) -> None:
    show = "import agentroute, core, models, v1; print(*(m.__file__ for m in (agentroute, core, models, v1)), sep='\\n')"
    modules = package.run("python", "-c", show).split()
    site_packages = package.programs.parent / "lib"
    assert [path for path in modules if not Path(path).is_relative_to(site_packages)] == []
    version = sys.version_info
    installed = site_packages / f"python{version.major}.{version.minor}" / "site-packages"
    named = [
        path.name
        for path in (*installed.glob("*.pth"), *installed.glob("agentroute-*/*"))
        if path.is_file() and str(ROOT).encode() in path.read_bytes()
    ]
    assert named == []


def test_a_new_agent_is_written_and_checked(package: Package) -> None:
    package.run("agentroute", "init", "shop")
    assert {path.name for path in (package.home / "shop").iterdir()} >= {"agent.toml", "agent.py", "tools.py"}
    told = orjson.loads(package.run("agentroute", "check", "shop", "--json"))
    assert [tool["name"] for tool in told["tools"]] == ["find_order", "cancel_order"]


@contextmanager
def _embedded(package: Package) -> Iterator[tuple[str, psutil.Process]]:
    command = [str(package.programs / "agentroute"), "embedded", "--port", str(reserved_port())]
    with subprocess.Popen(
        command,
        cwd=package.home,
        env=built_package.clean_environment(package.home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            lines: list[str] = []
            for line in process.stdout:
                lines.append(line)
                if line.startswith(_READY):
                    yield line.removeprefix(_READY).split()[0], psutil.Process(process.pid)
                    break
            else:
                raise AssertionError("it did not start:\n" + "".join(lines))
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=HUNG_SECONDS)
            assert process.returncode == 0
        finally:
            process.kill()


def _answer(url: str) -> list[dict[str, Any]]:
    body = {
        "threadId": "t-1",
        "runId": "r-1",
        "messages": [{"id": "m-1", "role": "user", "content": "calculate 6*7"}],
    }
    answer = httpx.post(
        f"{url}/api/v1/agent/runs", json=body, headers={"Accept": "text/event-stream"}, timeout=HUNG_SECONDS
    )
    answer.raise_for_status()
    return [orjson.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]


def _assets(page: str) -> set[str]:
    return {f"/{name}" for name in re.findall(r"(?:src|href)=\"\./([^\"]+)\"", page)}


def _of_the_checkout(family: list[psutil.Process]) -> list[str]:
    """Return what processes have open or were started with that is in the checkout."""
    found: list[str] = []
    for process in family:
        try:
            places = [process.cwd(), *process.cmdline(), *(each.path for each in process.open_files())]
            places += [each.path for each in process.memory_maps()]
        except psutil.Error:
            continue
        found += [place for place in places if str(ROOT) in place]
    return found


def test_embedded_gives_an_answer_and_the_page(package: Package) -> None:
    with _embedded(package) as (url, supervisor):
        events = _answer(url)
        assert [event["type"] for event in events if event["type"].startswith("RUN_")] == [
            "RUN_STARTED",
            "RUN_FINISHED",
        ]
        [result] = [event["content"] for event in events if event["type"] == "TOOL_CALL_RESULT"]
        assert result == "42"
        page = httpx.get(url + "/", timeout=HUNG_SECONDS).raise_for_status().text
        assets = _assets(page)
        assert assets, page
        for asset in assets:
            assert httpx.get(url + asset, timeout=HUNG_SECONDS).status_code == 200, asset
        assert httpx.get(url + "/docs", timeout=HUNG_SECONDS).status_code == 200
        family = [supervisor, *supervisor.children(recursive=True)]
        assert len(family) > 5
        assert _of_the_checkout(family) == []
        # The data are where it was started, in a folder that its own .gitignore keeps out of any repository.
        assert (package.home / ".agentroute" / ".gitignore").is_file()
