"""What a test does to the logging of its process ends with the test. The tests of this file are in their order."""

from __future__ import annotations

import io
import logging

from core.config import Settings
from core.log import configure_logging


def test_a_test_configures_the_logging_of_its_process() -> None:
    configure_logging(Settings(), stream=io.StringIO())
    assert logging.getLogger("httpx").level == logging.WARNING


def test_the_next_one_has_the_loggers_of_before() -> None:
    assert logging.getLogger("httpx").level == logging.NOTSET
    assert not any(
        isinstance(getattr(each, "stream", None), io.StringIO)
        for each in logging.getLogger().handlers
        if type(each) is logging.StreamHandler
    )
