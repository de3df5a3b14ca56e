"""The bodies of the embedded mode's routes."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from core.agentscope.schemas.messages import WireModel
from core.secret_values import ApiKey
from core.settings_section import HttpAddress


def _plain_address(value: str) -> str:
    if not value:
        raise ValueError("must be an address, such as https://api.example.com/v1")
    if "?" in value or "#" in value or "@" in value:
        raise ValueError("must have neither a query nor a user; put the key into apiKey")
    return value


def _plain_name(value: str) -> str:
    value = value.strip()
    if not value or not value.isprintable():
        raise ValueError("must be the name of a model")
    return value


Address = Annotated[HttpAddress, Field(max_length=2000), AfterValidator(_plain_address)]


class EndpointCommand(WireModel):
    """Body of ``POST /models``: an endpoint whose models are asked for."""

    base_url: Address
    api_key: ApiKey | None = Field(default=None)
    """``null`` for the key that is kept for this address, if there is one."""


class ModelCommand(EndpointCommand):
    """Body of ``PUT /model``."""

    name: Annotated[str, Field(max_length=300), AfterValidator(_plain_name)]


NO_KEY = SecretStr("")
