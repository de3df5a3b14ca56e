"""Writes the synchronous client of agentroute.client from the asynchronous one: the same, without ``await``.

    backend/.venv/bin/python script/sync_client.py            # writes the files sync_*.py
    backend/.venv/bin/python script/sync_client.py --check    # exits with 1 if they are not what it would write

Everything without I/O is shared; only the files that wait are there twice.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).resolve().parent.parent / "backend" / "src" / "agentroute" / "client"
FILES = {f"async_{name}.py": f"sync_{name}.py" for name in ("stream", "requests", "client")}

_CHANGES = (
    (
        r"``sync_(\w+)\.py`` is written from this file by ``script/sync_client.py``",
        r"Written from ``async_\1.py`` by ``script/sync_client.py``: change that file",
    ),
    (r"\basync_(client|stream|requests)\b(?!\.py)", r"sync_\1"),
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAsync(EventStream|Run|Requests|AgentRouteClient|Generator|Client)\b", r"\1"),
    (r"\bAsyncToken\b", "Token"),
    (r"\bAwaitable\[(\w+)\]", r"\1"),
    (r"\bAwaitable, ", ""),
    (r"__a(enter|exit|iter)__", r"__\1__"),
    (r"__anext__", "__next__"),
    (r"\baclos(e|ing)\b", r"clos\1"),
    (r"\ba(iter_bytes|read)\(", r"\1("),
    (r"\banyio\b", "time"),
    (r"\bThe asynchronous client\b", "The synchronous client"),
    (r"\bof the asynchronous client\b", "of the synchronous client"),
    (r"by many tasks at once", "by many threads at once"),
)


def synchronous(text: str) -> str:
    """Return the source without what waits, in the form that the checks want."""
    for pattern, instead in _CHANGES:
        text = re.sub(pattern, instead, text)
    for command in (
        ["check", "--select", "I,UP028", "--fix", "--unsafe-fixes", "--quiet", "-"],
        ["format", "--quiet", "-"],
    ):
        name = ["--stdin-filename", str(CLIENT / "sync_client.py")]
        done = subprocess.run(  # noqa: S603  our own tool on our own file
            [sys.executable, "-m", "ruff", *command, *name],
            input=text,
            capture_output=True,
            text=True,
            check=True,
            cwd=CLIENT,
        )
        text = done.stdout
    return text


def main(arguments: list[str]) -> int:
    """Write the files, or compare them."""
    stale = []
    for source, target in FILES.items():
        text = synchronous((CLIENT / source).read_text(encoding="utf-8"))
        path = CLIENT / target
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(target)
    for name in stale:
        print(f"{name} is not what script/sync_client.py writes: run it")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
