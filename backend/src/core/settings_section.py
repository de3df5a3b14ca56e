"""What the sections of the settings are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict


class SettingsSection(BaseModel):
    """A group of settings: ``AGENT_<SECTION>__<MEMBER>``."""

    # A time or a share that is no finite number would fail where it is used, long after the start.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


_NO_ADDRESS = "must begin with http:// or https:// and name a host, such as https://api.example.com/v1"


def _http_address(value: str) -> str:
    value = value.strip()
    if not value:
        return value
    try:
        parts = urlsplit(value)
    except ValueError:
        raise ValueError(_NO_ADDRESS) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(_NO_ADDRESS)
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("has a port that is not a number up to 65535") from None
    return value


HttpAddress = Annotated[str, AfterValidator(_http_address)]
"""An HTTP URL, or empty."""


def _no_path(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


OptionalPath = Annotated[Path | None, BeforeValidator(_no_path)]
"""A file or a folder. Empty is none: ``pathlib`` would take it for the current folder."""
