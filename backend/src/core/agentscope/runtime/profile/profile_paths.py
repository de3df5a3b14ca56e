"""Paths in a profile: relative to the folder of its file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo


def _beside_the_profile(path: Path, info: ValidationInfo) -> Path:
    base: Path = (info.context or {}).get("directory", Path())
    return base / path


PathBeside = Annotated[Path, AfterValidator(_beside_the_profile)]
"""A path that a profile names."""
