"""What the sections of the settings are made of."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict


class SettingsSection(BaseModel):
    """A group of settings: ``AGENT_<SECTION>__<MEMBER>``."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
