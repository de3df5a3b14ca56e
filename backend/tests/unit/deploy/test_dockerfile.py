"""The Dockerfile: what it copies exists, what it starts is a command, and the image has neither root nor a compiler."""

from __future__ import annotations

import fnmatch
import importlib.util
import ipaddress
import re
import subprocess

from tests.support.dockerfile import ROOT, read_dockerfile
from typer.main import get_command

from agentroute.cli import app
from core.config import Settings

BUILD, IMAGE = read_dockerfile()


def _copied() -> list[str]:
    return [
        source
        for stage in (BUILD, IMAGE)
        for each in stage.all("COPY")
        if "from" not in each.options
        for source in each.paths[:-1]
    ]


def test_everything_that_is_copied_exists_and_is_in_the_context() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}

    assert _copied()
    assert [source for source in _copied() if not (ROOT / source).exists()] == []
    assert set(_copied()) == allowed, "the context has what is copied, and nothing else"
    assert lines[1] == "*"


def test_no_secret_and_no_data_are_in_the_context() -> None:
    listing = subprocess.run(
        ["git", "ls-files", "-z", *_copied()], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    names = listing.split("\0")
    assert len(names) > 500
    assert [name for name in names if fnmatch.fnmatch(name, "*.env") or "secrets.d" in name] == []


def test_the_user_is_a_number_and_not_root() -> None:
    user = IMAGE.last("USER").text
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    # It is the last word: nothing after it is done as root, nor before it by a shell of the image.
    assert IMAGE.all("RUN") == []
    assert [each.options["chown"] for each in IMAGE.all("COPY") if "chown" in each.options] == [user]


def test_both_stages_have_one_base_so_that_the_interpreter_fits() -> None:
    assert BUILD.base == IMAGE.base == "python:3.13-slim-trixie"


def test_packages_are_wheels_of_the_lock() -> None:
    [locked, own] = BUILD.all("RUN")
    assert "--require-hashes --only-binary=:all: -r requirements.lock" in locked.text
    assert "--no-deps --no-build-isolation" in own.text
    assert "apt" not in locked.text + own.text


def test_what_is_started_is_a_command_and_takes_signals_itself() -> None:
    # The form of an array: with a shell in between, SIGTERM would reach the shell.
    assert IMAGE.last("ENTRYPOINT").text.startswith("[")
    assert IMAGE.last("CMD").text.startswith("[")
    [program] = IMAGE.last("ENTRYPOINT").words
    command, *options = IMAGE.last("CMD").words
    assert program == "agentroute"
    commands = get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]  a group, as it has commands
    assert command in commands
    known = {option for parameter in commands[command].params for option in parameter.opts}
    assert {option for option in options if option.startswith("--")} <= known
    assert IMAGE.last("STOPSIGNAL").text == "SIGTERM"


def test_its_health_check_is_a_module_of_ours() -> None:
    check = IMAGE.last("HEALTHCHECK").text
    words = re.findall(r'"([^"]+)"', check.partition("CMD ")[2])
    assert words[:2] == ["python3", "-m"]
    assert importlib.util.find_spec(words[2]) is not None


def test_what_it_sets_are_settings() -> None:
    environment = IMAGE.environment
    # Every address of the container: whatever is outside of it asks by another than loopback.
    assert ipaddress.ip_address(environment["AGENT_SERVER__HOST"]).is_unspecified
    assert IMAGE.last("EXPOSE").text == str(Settings().server.port)
    assert {name for name in environment if name.startswith("AGENT_")} == {"AGENT_SERVER__HOST"}
