"""Writes the vectors of ``contract/``, or compares them with what a service sends now: ``script/contract``."""

from __future__ import annotations

import argparse
import difflib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from tests.support.client_service import client_service
from tests.support.contract_recorder import Json
from tests.support.contract_scenarios import ALL, record
from tests.support.contract_vectors import VECTORS, comparable, text_of, vectors, with_states
from tests.support.limits import HUNG_SECONDS


def differences(old: Json | None, new: Json) -> list[str]:
    """Return how the service differs from a vector, as lines of a diff; empty if it does not."""
    before = [] if old is None else comparable(old)
    return list(difflib.unified_diff(before, comparable(new), "contract", "the service", n=1, lineterm=""))


def main(arguments: Sequence[str] | None = None) -> int:
    """Record all scenarios. A vector is written only if the service, or the reducer, says something else."""
    parser = argparse.ArgumentParser(prog="script/contract", description=__doc__)
    parser.add_argument("--url", help="of a running service with the demo model; otherwise one is started")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 if something differs"
    )
    parser.add_argument("scenarios", nargs="*", help="their names; all, if there is none")
    options = parser.parse_args(arguments)
    known = vectors()
    changed: list[str] = []
    with _service(options.url) as url, httpx.Client(base_url=url, timeout=HUNG_SECONDS) as http:
        for name in options.scenarios or ALL:
            vector = record(http, name)
            diff = differences(known.get(name), vector)
            text = text_of(with_states(vector if diff else known[name]))
            path = VECTORS / f"{name}.json"
            if path.exists() and path.read_text() == text:
                continue
            changed.append(name)
            print(f"{name}: {'changed' if name in known else 'new'}", *diff, sep="\n")
            if not options.check:
                VECTORS.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
    print(f"{len(changed)} of {len(options.scenarios or ALL)} vectors differ.")
    return 1 if options.check and changed else 0


@contextmanager
def _service(url: str | None) -> Iterator[str]:
    if url is not None:
        yield url.rstrip("/").removesuffix("/api/v1/agent") + "/api/v1/agent"
        return
    with (
        tempfile.TemporaryDirectory(prefix="agentroute-") as directory,
        client_service(Path(directory)) as url,
    ):
        yield url


if __name__ == "__main__":
    sys.exit(main())
