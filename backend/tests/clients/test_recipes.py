"""The examples of docs/clients.md and of the JavaScript package work as they stand there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
from tests.clients.conftest import installed
from tests.support.limits import HUNG_SECONDS

pytestmark = pytest.mark.slow

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[2]
_PAGE = _ROOT / "docs" / "clients.md"
_CLIENTS = _ROOT / "clients"
_BASE = "http://127.0.0.1:8000/api/v1/agent"

_DRIVER = """
import { createServer } from "node:http";
import { isDeepStrictEqual } from "node:util";
import { ThreadAgent } from "@agentroute/client";
import { page } from "./page.mjs";

const base = process.argv[2];
const threadId = `recipe-${Date.now()}`;
let cut = 0;
/** Passes requests on to the service; each answer breaks off in the middle of its third event. */
const line = createServer(async (request, answer) => {
  let body = "";
  for await (const part of request) body += part;
  const { host, connection, "content-length": length, ...headers } = request.headers;
  const reply = await fetch(base + request.url, { method: request.method, headers, body: body || undefined });
  answer.writeHead(reply.status, { "Content-Type": reply.headers.get("content-type") ?? "text/plain" });
  // Blocks, not chunks: how many events come in one chunk depends on time.
  const decoder = new TextDecoder();
  let rest = "";
  let blocks = 0;
  for await (const chunk of reply.body ?? []) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split(/(?<=\\n\\n)/);
    rest = parts.at(-1).endsWith("\\n\\n") ? "" : parts.pop();
    for (const block of parts) {
      // The pause is not what is tried.
      if (block.startsWith("retry:")) continue;
      if (++blocks === 3) {
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
  const baseUrl = `http://127.0.0.1:${line.address().port}`;
  const broken = () => page(`${baseUrl}/runs`, threadId, { pauseMs: 1, maxPauseMs: 1 });
  const first = broken();
  first.addMessage({ id: "m-1", role: "user", content: "think about 6 and calculate 6*7" });
  await first.runAgent();
  const second = broken();
  await second.connectAgent();
  const follower = new ThreadAgent({ baseUrl, threadId, pauseMs: 1, maxPauseMs: 1 });
  const following = follower.follow();
  const third = broken();
  await third.connectAgent();
  third.addMessage({ id: "m-2", role: "user", content: "calculate 7*8" });
  const { messages } = await third.runAgent().then(() => fetch(`${base}/history?threadId=${threadId}`)).then((it) => it.json());
  const plain = (value) => JSON.parse(JSON.stringify(value));
  const are = (agent, told) => isDeepStrictEqual(plain(agent.messages), told);
  while (!are(follower, messages)) await new Promise((look) => setTimeout(look, 5));
  follower.close();
  const asked = messages.findIndex(({ id }) => id === "m-2");
  const same = [first, second].map((agent) => are(agent, messages.slice(0, asked))).concat(are(third, messages));
  console.log(JSON.stringify({ same, followed: await following, cut: cut > 5 }));
  process.exit(0);
});
"""

_README = """
const threadId = `readme-${Date.now()}`;
const show = () => {};
%s
while (!thread.messages.at(-1)?.content?.includes("56")) await new Promise((look) => setTimeout(look, 5));
thread.close();
console.log(await following);
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which ``@agentroute/client`` is installed."""
    installed(_CLIENTS)
    folder = tmp_path_factory.mktemp("package")
    modules = _CLIENTS / "node_modules"
    target = folder / "node_modules" / "@agentroute" / "client"
    target.mkdir(parents=True)
    (folder / "node_modules" / "@ag-ui").symlink_to(modules / "@ag-ui")
    shutil.copy(_CLIENTS / "js" / "package.json", target)
    build = [
        modules / ".bin" / "tsc",
        "-p",
        _CLIENTS / "js" / "tsconfig.build.json",
        "--outDir",
        target / "dist",
    ]
    subprocess.run(build, check=True, timeout=HUNG_SECONDS)
    return folder


def _run(program: str, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["node", program, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=HUNG_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_agents_of_the_recipes_survive_a_line_that_breaks_and_a_reload(service: str, package: Path) -> None:
    blocks = re.findall(r"```js\n// ([a-z-]+\.mjs)\n(.*?)```", _PAGE.read_text(), re.DOTALL)
    for name, code in blocks:
        (package / name).write_text(code)
    (package / "driver.mjs").write_text(_DRIVER)

    said = _run("driver.mjs", package, service)

    assert said == '{"same":[true,true,true],"followed":"closed","cut":true}\n'


def test_the_embedded_mode_has_no_crowd_that_must_come_back_slowly(service: str) -> None:
    answer = httpx.get(f"{service}/events", params={"threadId": "nobody-began-it", "connect": "true"})

    assert answer.text.startswith("retry: 250\n\n")


def test_the_readme_of_the_package_works(service: str, package: Path) -> None:
    blocks = re.findall(r"```js\n(.*?)```", (_CLIENTS / "js" / "README.md").read_text(), re.DOTALL)
    code = _README % "".join(blocks)
    assert code.count(_BASE) == 2
    (package / "readme.mjs").write_text(code.replace(_BASE, service))

    said = _run("readme.mjs", package)

    assert said.startswith("connecting\nlive\n")
    assert said.endswith("\nclosed\n")
