"""The catalogue of error codes knows every module of errors, whatever else a process has imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import core.error_codes

_IMPORTED = "import sys, core.error_codes; print(*(name for name in sys.modules if name.startswith('core.')))"


def test_the_catalogue_imports_every_module_of_errors() -> None:
    there = {f"core.{file.stem}" for file in Path(core.error_codes.__file__).parent.glob("*errors.py")}
    told = subprocess.run(
        [sys.executable, "-P", "-c", _IMPORTED], capture_output=True, text=True, check=True
    ).stdout
    assert there <= set(told.split())
