"""The recipes of docs/clients.md work as they stand there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from tests.clients.conftest import installed
from tests.support.limits import HUNG_SECONDS

pytestmark = pytest.mark.slow

_HERE = Path(__file__).parent
_PAGE = _HERE.parents[2] / "docs" / "clients.md"

_DRIVER = """
import { createServer } from "node:http";
import { isDeepStrictEqual } from "node:util";
import { ConnectingAgent } from "./connecting-agent.mjs";
import { resumingFetch } from "./resuming-fetch.mjs";

const base = process.argv[2];
const threadId = `recipe-${Date.now()}`;
let cut = 0;
/** Passes requests on to the service; each answer breaks off in the middle of its fourth block. */
const line = createServer(async (request, answer) => {
  let body = "";
  for await (const part of request) body += part;
  const { host, connection, "content-length": length, ...headers } = request.headers;
  const reply = await fetch(base + request.url, { method: request.method, headers, body });
  answer.writeHead(reply.status, { "Content-Type": reply.headers.get("content-type") ?? "text/plain" });
  // Blocks, not chunks: how many events come in one chunk depends on time.
  const decoder = new TextDecoder();
  let rest = "";
  let blocks = 0;
  for await (const chunk of reply.body ?? []) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split(/(?<=\\n\\n)/);
    rest = parts.at(-1).endsWith("\\n\\n") ? "" : parts.pop();
    for (const block of parts) {
      if (++blocks === 4) {
        cut++;
        answer.write(block.slice(0, block.length / 2));
        setTimeout(() => answer.socket?.destroy(), 20);
        return;
      }
      answer.write(block);
    }
  }
  answer.end(rest);
});
line.listen(0, "127.0.0.1", async () => {
  const url = `http://127.0.0.1:${line.address().port}/runs`;
  const page = () => new ConnectingAgent({ url, threadId, fetch: resumingFetch({ pauseMs: 1 }) });
  const first = page();
  first.addMessage({ id: "m-1", role: "user", content: "think about 6 and calculate 6*7" });
  await first.runAgent();
  const second = page();
  await second.connectAgent();
  const { messages } = await (await fetch(`${base}/history?threadId=${threadId}`)).json();
  const plain = (value) => JSON.parse(JSON.stringify(value));
  const same = [first, second].map((agent) => isDeepStrictEqual(plain(agent.messages), messages));
  console.log(JSON.stringify({ same, cut: cut > 2 }));
  process.exit(0);
});
"""


def test_an_agent_of_the_recipes_survives_a_line_that_breaks_and_a_reload(
    service: str, tmp_path: Path
) -> None:
    installed(_HERE)
    (tmp_path / "node_modules").symlink_to(_HERE / "node_modules")
    blocks = re.findall(r"```js\n// ([a-z-]+\.mjs)\n(.*?)```", _PAGE.read_text(), re.DOTALL)
    for name, code in blocks:
        (tmp_path / name).write_text(code)
    (tmp_path / "driver.mjs").write_text(_DRIVER)

    done = subprocess.run(
        ["node", "driver.mjs", service],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=HUNG_SECONDS,
        check=False,
    )

    assert done.stdout == '{"same":[true,true],"cut":true}\n', done.stderr
