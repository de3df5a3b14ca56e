"""What users import to write tools: it is light, and the documented example works as it is printed."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from tests.support.limits import HUNG_SECONDS

import agentroute.tools as public
from agentroute.tools import Principal, Tool, ToolContext, ToolOutcome

CONFIGURATION = Path(__file__).parents[4] / "docs" / "configuration.md"
CONTEXT = ToolContext(Principal("shop", "user-1"), thread_id="t-1", run_id="r-1", tool_call_id="c-1")


def example_of_the_page() -> str:
    section = CONFIGURATION.read_text(encoding="utf-8").split("## Your own tools", 1)[1]
    return section.split("```python\n", 1)[1].split("```", 1)[0]


def example_of_the_module() -> str:
    text = str(public.__doc__).split("\n\n", 1)[1].split("A profile names", 1)[0]
    return textwrap.dedent(text)


def send_mail_of(example: str) -> Tool:
    names: dict[str, Any] = {}
    exec(compile(example, "shop_tools.py", "exec"), names)  # noqa: S102  the documented example is the test
    made = names["send_mail"]
    assert isinstance(made, Tool)
    return made


@pytest.mark.parametrize("example", [example_of_the_page(), example_of_the_module()], ids=["page", "module"])
async def test_the_documented_example_runs(example: str) -> None:
    send_mail = send_mail_of(example)

    sent = await send_mail.call({"to": "a@example.org", "subject": "Hello"}, CONTEXT)
    refused = await send_mail.call({"to": "nobody", "subject": "Hello"}, CONTEXT)

    assert sent == ToolOutcome("success", "Sent to a@example.org.")
    assert refused == ToolOutcome("error", "The address is not one. Ask the user for it.")
    assert (send_mail.name, send_mail.permission, send_mail.editable) == ("send_mail", "ask", True)
    assert list(send_mail.json_schema()["properties"]) == ["to", "subject"]


@pytest.mark.parametrize(
    "page", [CONFIGURATION, CONFIGURATION.parents[1] / "README.md"], ids=lambda page: page.name
)
def test_what_users_read_names_nothing_of_the_inside(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert "agentroute.tools" in text
    assert "core." not in text


def test_the_import_loads_neither_agentscope_nor_a_framework_nor_a_driver() -> None:
    heavy = ("agentscope", "fastapi", "starlette", "sqlalchemy", "asyncpg", "redis", "taskiq", "httpx")
    program = f"import sys, agentroute.tools; print([name for name in {heavy!r} if name in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=HUNG_SECONDS, check=True
    )

    assert done.stdout.strip() == "[]"
