"""List prices of models, for providers that report no cost. The cost of an unknown model is unknown, not 0.

The bundled table (``prices.json``) says where and when its prices were read. ``AGENT_MODEL__PRICES_PATH`` names another
table, whose entries take precedence; ``null`` there removes a bundled price.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from core.agentscope.runtime.model.token_counts import TokenCounts

_BUNDLED = Path(__file__).with_name("prices.json")

# A release of a model: gpt-4o-2024-08-06, claude-sonnet-4-5-20250929, the same after an @ on Vertex AI.
_RELEASE = re.compile(r"[-@](\d{8}|\d{4}-\d{2}-\d{2})$")


class PricesInvalid(ValueError):
    """The price table cannot be used. The message names the file, the entry and the remedy."""


def _not_binary(value: Any) -> Any:
    if isinstance(value, float):
        raise ValueError('write the price as a string, like "0.15": a JSON number is not exact')
    return value


Price = Annotated[Decimal, BeforeValidator(_not_binary), Field(ge=0, allow_inf_nan=False)]


class ModelPrice(BaseModel):
    """US dollars per 1,000,000 tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Price
    output: Price
    cached: Price | None = None
    """Prompt tokens read from the provider's cache; as ``input`` when absent."""
    cache_write: Price | None = None
    """Prompt tokens written to it. When absent, a call that wrote some has an unknown cost."""
    up_to_input_tokens: int | None = Field(default=None, gt=0)
    """The price holds for prompts of at most so many tokens; longer ones have an unknown cost."""

    @property
    def free(self) -> bool:
        """Whether tokens cost nothing."""
        return not self.input and not self.output

    def of(self, tokens: TokenCounts) -> Decimal | None:
        """Price a call; ``None`` when this entry does not cover it."""
        if self.up_to_input_tokens is not None and tokens.input > self.up_to_input_tokens:
            return None
        if tokens.cache_write and self.cache_write is None:
            return None
        cached = min(tokens.cached, tokens.input)
        written = min(tokens.cache_write, tokens.input - cached)
        total = (
            (tokens.input - cached - written) * self.input
            + cached * (self.input if self.cached is None else self.cached)
            + written * (self.cache_write or 0)
            + tokens.output * self.output
        )
        return total / 1_000_000


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    date: str = ""
    source: str = ""
    currency: Literal["USD"] = "USD"
    models: dict[str, ModelPrice | None]


class PriceTable:
    """Prices by model name. Immutable: one for a process."""

    def __init__(self, models: Mapping[str, ModelPrice | None]) -> None:
        self._models = {name.lower(): price for name, price in models.items()}

    def cost(self, model: str, tokens: TokenCounts) -> Decimal | None:
        """Price a call in US dollars, exactly; ``None`` when the model's price is not known.

        A name is tried as it is, then without its release date, then without the provider before the last slash, each
        also with dashes instead of dots. A price of zero counts for the exact name only: when ``demo`` is free,
        another provider's ``acme/demo`` is not.
        """
        exact = model.lower()
        for name in _candidates(exact):
            if name in self._models:
                price = self._models[name]
                if price is None or (price.free and name != exact):
                    return None
                return price.of(tokens)
        return None


@lru_cache(maxsize=8)
def load_prices(path: Path | None = None) -> PriceTable:
    """Return the bundled prices, with the entries of ``path`` over them. Read once for a process.

    Raises:
        PricesInvalid: The file is missing, is not JSON or holds something else than prices.
    """
    models = dict(_read(_BUNDLED).models)
    if path is not None:
        models |= {name.lower(): price for name, price in _read(path).models.items()}
    return PriceTable(models)


def _read(path: Path) -> _Table:
    try:
        return _Table.model_validate_json(path.read_bytes())
    except OSError as exc:
        raise PricesInvalid(f"{path}: cannot be read ({exc.strerror}); see AGENT_MODEL__PRICES_PATH") from exc
    except ValidationError as exc:
        error = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, error["loc"])) or "the file"
        raise PricesInvalid(f"{path}: {where}: {error['msg']}") from exc


def _candidates(model: str) -> Iterator[str]:
    for name in (model, model.rpartition("/")[2]):
        for variant in (name, _RELEASE.sub("", name)):
            yield variant
            yield variant.replace(".", "-")
