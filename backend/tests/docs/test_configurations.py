"""The configurations and queries of the documentation are right: SQL runs, units, proxies and variables are read.

What a program reads is shown to the program, where it is installed: nginx, systemd. Their values are compared with the
settings that they depend on.
"""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import asyncpg
import pytest
from tests.support.doc_blocks import Block, blocks, pages
from tests.support.limits import HUNG_SECONDS

from core.config import Settings

_BLOCKS = list(chain.from_iterable(blocks(page) for page in pages()))
# Folders of nginx, which only root may make where they are by default.
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_PROXIES, _UNIT = ("docs/how-to/deployment.md", "docs/how-to/hardening.md"), "[Unit]"
_RIGHTS = "docs/how-to/hardening.md"
"""Its SQL gives rights, and is run by ``tests/integration/agentroute/test_hardening.py``."""

Directive = tuple[list[str], "list[Directive] | None"]
"""Words of an nginx directive, and what is in its braces."""


def of_language(language: str, has: str = "") -> list[Block]:
    """Return the blocks of a language that contain a text; there must be some."""
    found = [each for each in _BLOCKS if each.language == language and has in each.text]
    assert found, f"no {language} block with {has!r}: the test shows nothing"
    return found


def _needs(program: str) -> str:
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{program} is not installed: its blocks are read by this test's own rules only")
    return found


async def test_every_query_runs_on_the_schema(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        for block in (each for each in of_language("sql") if each.page != _RIGHTS):
            async with connection.transaction(readonly=True):
                for query in filter(str.strip, block.text.split(";")):
                    await connection.fetch(query)
    finally:
        await connection.close()


def test_the_variables_of_a_deployment_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for block in _BLOCKS:
        if block.language != "ini" or "AGENT_DATABASE__URL=" not in block.text:
            continue
        for line in block.text.splitlines():
            name, _, value = line.partition("=")
            monkeypatch.setenv(name, value.replace("…", "a-secret-of-the-reader-that-is-long-enough"))

    settings = Settings()

    assert settings.files.url.get_secret_value().startswith("s3://")
    assert settings.server.cors_origins == ("https://app.example.com",)


def _unit(block: Block) -> configparser.ConfigParser:
    # Not strict: systemd adds up what is said several times.
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]  as its documentation says
    unit.read_string(block.text)
    return unit


def test_a_worker_may_drain_before_systemd_kills_it() -> None:
    for block in of_language("ini", _UNIT):
        unit = _unit(block)
        assert unit["Service"]["ExecStart"].split()[1] == "worker", block.place
        assert float(unit["Service"]["TimeoutStopSec"]) > Settings().worker.drain_seconds, block.place


def test_systemd_reads_the_units(tmp_path: Path) -> None:
    program = _needs("systemd-analyze")
    for number, block in enumerate(of_language("ini", _UNIT)):
        path = tmp_path / f"block-{number}@one.service"
        # The program of the reader is not on this machine.
        path.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", block.text, flags=re.MULTILINE))
        done = subprocess.run(
            [program, "verify", "--man=no", "--recursive-errors=no", str(path)],
            capture_output=True,
            text=True,
            timeout=HUNG_SECONDS,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), block.place


def _directives(tokens: Iterator[str], *, inside: bool = False) -> list[Directive]:
    """Return what nginx would read; everything ends with ``;`` or has braces."""
    found: list[Directive] = []
    words: list[str] = []
    for token in tokens:
        if token == ";":
            found.append((words, None))
            words = []
        elif token == "{":
            found.append((words, _directives(tokens, inside=True)))
            words = []
        elif token == "}":
            assert inside, "a brace too many"
            assert not words, f"no ; behind {words}"
            return found
        else:
            words.append(token)
    assert not inside, "a brace is open"
    assert not words, f"no ; behind {words}"
    return found


def _read(block: Block) -> dict[str, list[list[str]]]:
    """Return the arguments of each directive of a block, however deep."""
    found: dict[str, list[list[str]]] = {}

    def note(directives: list[Directive]) -> None:
        for (name, *words), body in directives:
            found.setdefault(name, []).append(words)
            note(body or [])

    note(_directives(iter(re.findall(r"[{};]|\"[^\"]*\"|[^\s{};]+", re.sub(r"#.*", "", block.text)))))
    return found


def _seconds(words: list[list[str]]) -> float:
    return float(words[0][0].removesuffix("s"))


def test_a_proxy_lets_streams_and_uploads_through() -> None:
    settings = Settings()
    for block in of_language("nginx"):
        read = _read(block)
        assert read["proxy_buffering"] == [["off"]], block.place
        named = {words[0] for words in read["upstream"]}
        assert {words[0] for words in read["proxy_pass"]} <= {f"http://{name}" for name in named}, block.place
        if block.page in _PROXIES:
            assert _seconds(read["proxy_read_timeout"]) > 2 * settings.stream.heartbeat_seconds
            largest = max(settings.files.max_file_bytes, settings.transcription.max_audio_bytes)
            assert int(read["client_max_body_size"][0][0].removesuffix("m")) << 20 > largest
        else:
            assert _seconds(read["proxy_read_timeout"]) > settings.model.first_token_timeout_seconds


def test_nginx_reads_the_proxies(tmp_path: Path) -> None:
    program = _needs("nginx")
    for block in of_language("nginx"):
        # Neither ports nor certificates of the reader.
        text = re.sub(r"listen [^;]*;", f"listen unix:{tmp_path}/proxy.sock;", block.text)
        text = re.sub(r"ssl_\w+ [^;]*;", "", text)
        path = tmp_path / "nginx.conf"
        temporary = "".join(f"{name}_temp_path {tmp_path}/{name};\n" for name in _TEMPORARY)
        http = f"http {{\naccess_log off;\n{temporary}{text}}}\n"
        path.write_text(f"pid {tmp_path}/nginx.pid;\nevents {{}}\n{http}")
        done = subprocess.run(
            [program, "-t", "-q", "-e", "stderr", "-p", str(tmp_path), "-c", str(path)],
            capture_output=True,
            text=True,
            timeout=HUNG_SECONDS,
            check=False,
        )
        # A user who is not root is told that `user` has no effect.
        assert done.returncode == 0, f"{block.place}: {done.stderr}"
