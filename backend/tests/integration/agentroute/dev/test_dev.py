"""``agentroute dev`` as a newcomer uses it: a new agent, a change, a mistake, its repair, and the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
from tests.support.limits import HUNG_SECONDS
from tests.support.ports import reserved_port

pytestmark = pytest.mark.slow


class Terminal:
    """A command in a process of its own, and what it prints."""

    def __init__(self, *arguments: str) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "agentroute.cli", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"},
        )

    def read_until(self, text: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if text in line:
                return self.lines[-1]
        raise AssertionError(f"it ended without {text!r}:\n" + "\n".join(self.lines))


def _ask(url: str, question: str) -> str:
    body = {"messages": [{"id": "m-1", "role": "user", "content": question}]}
    answer = httpx.post(
        f"{url}/api/v1/agent/runs", json=body, headers={"accept": "text/event-stream"}, timeout=HUNG_SECONDS
    )
    return answer.text


def test_a_change_is_used_by_the_next_run_a_mistake_by_none_and_ctrl_c_ends_everything(
    tmp_path: Path,
) -> None:
    folder, tools = tmp_path / "shop", tmp_path / "shop" / "tools.py"
    subprocess.run([sys.executable, "-P", "-m", "agentroute.cli", "init", str(folder)], check=True)
    (folder / ".env").write_text("SHOP_KEY=never-shown-1\n", encoding="utf-8")
    ask = 'call the tool find_order with {"order_id": "7"}'
    terminal = Terminal("dev", str(folder), "--port", str(reserved_port()))
    try:
        url = terminal.read_until("AgentRoute is ready: ").split()[3]
        children = psutil.Process(terminal.process.pid).children(recursive=True)
        terminal.read_until("Changed files of the folder are used at once.")
        assert "Order 7: two shoes, not sent yet." in _ask(url, ask)
        assert '"type":"interrupt"' in _ask(url, ask.replace("find", "cancel"))

        code = tools.read_text(encoding="utf-8")
        changed = code.replace("two shoes", "three hats").replace(
            '    return f"Order {order_id}: ',
            '    import os\n    print(os.environ["SHOP_KEY"])\n    return f"Order {order_id}: ',
        )
        with httpx.stream(
            "POST",
            f"{url}/api/v1/agent/runs",
            json={"messages": [{"id": "m-1", "role": "user", "content": "slowly"}]},
            headers={"accept": "text/event-stream"},
            timeout=HUNG_SECONDS,
        ) as running:
            lines = running.iter_lines()
            assert any("TEXT_MESSAGE_CONTENT" in line for line in lines)
            tools.write_text(changed, encoding="utf-8")
            assert "Reloaded in " in terminal.read_until("eloaded")
            assert "Order 7: three hats, not sent yet." in _ask(url, ask)
            # The run that had begun goes on, and its stream with it.
            assert '"outcome":{"type":"success"}' in "".join(lines)

        tools.write_text(changed + "def x(:\n", encoding="utf-8")
        assert f"{tools}:" in terminal.read_until("SyntaxError")
        terminal.read_until("Not reloaded")
        assert "Order 7: three hats" in _ask(url, ask)

        tools.write_text(code.replace("Find an order", "Find any order"), encoding="utf-8")
        assert "a new worker and a new API" in terminal.read_until("eloaded")
        assert "Find any order" in httpx.get(f"{url}/api/v1/agent/agents").text

        children += psutil.Process(terminal.process.pid).children(recursive=True)
        terminal.process.send_signal(signal.SIGINT)
        terminal.read_until("Stopped.")
        assert terminal.process.wait(HUNG_SECONDS) == 0
        assert psutil.wait_procs(children, timeout=HUNG_SECONDS)[1] == []
    finally:
        terminal.process.kill()
        terminal.process.communicate()
    assert not any("never-shown-1" in line for line in terminal.lines)
