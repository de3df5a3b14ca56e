"""Starts a broken API process or worker by hand: ``python -m tests.faults.mutant no-fence worker``."""

from __future__ import annotations

import argparse
import sys

from tests.faults.mutants import MUTANTS, apply_mutant

from core.config import Settings


def main() -> int:
    """Apply the mutant, then be the process."""
    parser = argparse.ArgumentParser(
        prog="tests.faults.mutant", description="Runs a service that breaks a promise."
    )
    parser.add_argument("mutant", choices=sorted(MUTANTS))
    parser.add_argument("role", choices=("serve", "worker"))
    options = parser.parse_args()
    apply_mutant(options.mutant)
    if options.role == "worker":
        from agentroute.worker import run_worker

        return run_worker(Settings())
    from agentroute.server import run_server

    return run_server(Settings())


if __name__ == "__main__":
    sys.exit(main())
