"""What a test does to the logging of its process ends with the test. The tests of this file are in their order."""

from __future__ import annotations

import io
import logging

from core.config import Settings
from core.log import configure_logging


def test_a_test_configures_the_logging_of_its_process() -> None:
    configure_logging(Settings(), stream=io.StringIO())
    assert logging.getLogger("httpx").level == logging.WARNING
    logging.getLogger("httpx").propagate = False
    logging.getLogger("httpx").disabled = True
    logging.getLogger("httpx").addHandler(logging.StreamHandler(io.StringIO()))


def test_the_next_one_has_the_loggers_of_before() -> None:
    httpx = logging.getLogger("httpx")
    assert (httpx.level, httpx.propagate, httpx.disabled) == (logging.NOTSET, True, False)
    assert httpx.handlers == []
    assert not any(
        isinstance(getattr(each, "stream", None), io.StringIO)
        for each in logging.getLogger().handlers
        if type(each) is logging.StreamHandler
    )
