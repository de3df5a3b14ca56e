"""Checks a model before it is used: a small real request, and words for each way in which it fails.

What people paste is corrected where it is certain: an address without its version, or with the path of a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from agentroute.preflight import ModelList, list_models, place_of
from core.config import ModelSettings
from core.embedded_errors import ModelRefused

_PATIENCE_SECONDS = 90.0
"""A model of this machine may have to be read from a disk first."""
_MAX_NAMES = 500
_PATHS_OF_CALLS = ("/chat/completions", "/models", "/completions", "/embeddings")
_KEY_REFUSED = (401, 403)


@dataclass(frozen=True, slots=True)
class CheckedModel:
    """A model that answers."""

    base_url: str
    """As it works; what was pasted may have lacked the version."""
    note: str
    """How requests are adapted for it; empty if they are not."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint, and the models that it lists."""

    base_url: str
    listed: ModelList

    @property
    def names(self) -> list[str]:
        return self.listed.names[:_MAX_NAMES]


async def find_endpoint(base_url: str, key: SecretStr) -> Endpoint:
    """Return what is at an address. Asks below ``/v1`` too, if there is no list at the address itself."""
    base_url = _without_call(base_url)
    listed = await list_models(base_url, key.get_secret_value())
    if listed.status in {None, *_KEY_REFUSED} or listed.names or urlsplit(base_url).path.endswith("/v1"):
        return Endpoint(base_url, listed)
    below = await list_models(f"{base_url}/v1", key.get_secret_value())
    return (
        Endpoint(f"{base_url}/v1", below)
        if below.names or below.status in _KEY_REFUSED
        else Endpoint(base_url, listed)
    )


def refuse_unlisted(endpoint: Endpoint) -> None:
    """Refuse an endpoint that does not list its models.

    Raises:
        ModelRefused: With what to correct.
    """
    if endpoint.names:
        return
    status = endpoint.listed.status
    place = place_of(endpoint.base_url)
    if status is None:
        raise _refused("unreachable", _unreachable(place))
    if status in _KEY_REFUSED:
        raise _refused("key", _key_refused(place))
    if status == 200:
        raise _refused("address", f"{place} lists no models. Type the name of the model.")
    raise _refused("address", f"{_no_api(place)} Its answer to /models was HTTP {status}.")


async def check_model(
    base_url: str, key: SecretStr, name: str, settings: ModelSettings, profile_path: Path | None
) -> CheckedModel:
    """Ask a model for a few words, as a run would.

    Args:
        base_url: As the user gave it.
        key: Empty for none.
        name: Of the model.
        settings: Everything else about models.
        profile_path: Of the agents; each model that they name is asked.

    Raises:
        ModelRefused: It does not answer; says what to correct.
    """
    # Here: an API process that nobody asks for another model needs no model client.
    from agentroute.model_probe import probe_choice

    endpoint = await find_endpoint(base_url, key)
    if endpoint.listed.status is None:
        raise _refused("unreachable", _unreachable(place_of(endpoint.base_url)))
    change = {"base_url": endpoint.base_url, "api_key": key, "name": name, "provider": ""}
    try:
        answers = await probe_choice(
            settings.model_copy(update=change), profile_path, patience_seconds=_PATIENCE_SECONDS
        )
    except ValueError as exc:
        raise _refused("address", "The address is not one of an HTTP service.") from exc
    for probed in answers:
        if not probed.told:
            failed = probed.failed
            status = None if failed is None else failed.status
            detail = "" if failed is None else failed.error.detail
            raise _judge(endpoint, probed.model, status, detail, probed.said, silent=failed is None)
    return CheckedModel(
        endpoint.base_url,
        _notes([(probed.model, probed.told) for probed in answers], several=len(answers) > 1),
    )


def _judge(
    endpoint: Endpoint, model: str, status: int | None, detail: str, said: str, *, silent: bool
) -> ModelRefused:
    place = place_of(endpoint.base_url)
    if silent:
        return _refused("silent", f"{model} did not begin to answer within {_PATIENCE_SECONDS:.0f} s.")
    if status in _KEY_REFUSED:
        return _refused("key", _key_refused(place), said=said)
    if endpoint.names and model not in endpoint.names:
        return _refused("model-unknown", f"{place} has no model {model}.", said=said, models=endpoint.names)
    if status == 404 and not endpoint.names:
        return _refused("address", _no_api(place), said=said)
    if status == 404:
        return _refused("model-unknown", f"{place} does not find {model}.", said=said, models=endpoint.names)
    what = {402: f"{place} asks for payment.", 429: f"{place} is busy, or the quota of the key is used up."}
    return _refused(
        "failed", what.get(status or 0) or f"{model} does not answer. {_for_users(detail)}", said=said
    )


def _for_users(detail: str) -> str:
    # What runs say to users speaks of an operator and his variables; here the user is the operator.
    return detail.partition(" The operator")[0]


def _refused(reason: str, detail: str, *, said: str = "", models: Sequence[str] = ()) -> ModelRefused:
    return ModelRefused(detail, reason=reason, said=said, models=list(models))


def _unreachable(place: str) -> str:
    return f"Nothing answers at {place}. Is the server running, and is the address right?"


def _key_refused(place: str) -> str:
    return f"{place} refuses the key. Copy it again, or make a new one there."


def _no_api(place: str) -> str:
    return f"{place} answers, but not as an OpenAI-compatible API. The address often ends with /v1."


def _notes(answers: Sequence[tuple[str, str]], *, several: bool) -> str:
    told = [(model, note) for model, note in answers if not note.startswith("takes all")]
    return " ".join(f"{model}: {note}" if several else note for model, note in told)


def _without_call(base_url: str) -> str:
    base_url = base_url.strip().rstrip("/")
    for path in _PATHS_OF_CALLS:
        base_url = base_url.removesuffix(path)
    return base_url.rstrip("/")
