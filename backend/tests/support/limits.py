"""Every limit of time that the tests share.

A test waits for a condition. A limit around the wait means only one thing: nobody will ever meet the condition.
So each limit is at least ten times what a quiet machine needs, and a busy machine does not reach it.
``tests/unit/test_limits.py`` holds that pytest's own limit is longer than each of these: the inner one says what it waited for.
"""

from __future__ import annotations

HUNG_SECONDS = 120
"""One condition: an answer, an event, a row, a process that starts or ends. The slowest, a process that imports
AgentScope, takes 4 s on a quiet machine."""

PAGE_SECONDS = 45
"""One condition in a page of the browser tests: what is drawn after a click, a whole answer of the demo model. 2 s."""

PROXY_START_SECONDS = 240
"""The LiteLLM proxy until it answers: 6 s with bytecode, 22 s without."""

INSTALL_SECONDS = 420
"""Packages of a Node project from a registry: 40 s, and the network is not ours."""

NEVER_SECONDS = 3600
"""For what must not run out by itself while a test runs: a lease whose end the test decides, a grace that is not waited for."""
