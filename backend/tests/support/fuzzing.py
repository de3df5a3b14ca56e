"""Requests made from the service's own API document (schemathesis), and what every answer to them has to be.

``FUZZ_EXAMPLES=1000`` draws that many examples an operation; 100 by default, and the same ones in every run. They take
about a minute of one core, of which four fifths make up the requests.
"""

from __future__ import annotations

import base64
import gc
import json
import os
from collections import Counter
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import load_all_checks
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.generation.modes import GenerationMode
from schemathesis.specs.openapi import checks
from tests.support.limits import HUNG_SECONDS
from tests.support.stack import BASE, parse_block

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "100"))
"""Of each operation, and of each fuzzer that needs no API document."""
UNAVAILABLE = 503
"""The only status of 500 and more: a store is away, or a place is full."""

_CONFORMANCE = [checks.status_code_conformance, checks.content_type_conformance]
_EVENT_STREAM = "text/event-stream"


@contextmanager
def seldom_collecting() -> Iterator[None]:
    """Collect garbage seldom: examples are thousands of objects that go by themselves. Saves a seventh of the time."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 1000)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def few(examples: int = EXAMPLES, **more: Any) -> settings:
    """Return the settings of a fuzzer: no deadline, as a busy machine is not a fault of the service."""
    return settings(
        max_examples=examples,
        derandomize=settings.get_current_profile_name() != "explore",
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        # Not made smaller: that takes minutes of a machine, and a failure shows its request as it is.
        phases=[Phase.generate],
        **more,
    )


class Fuzz:
    """Sends generated requests to a service, from a thread of its own.

    Args:
        document: The API document.
        url: Where the service is.
        headers: Of the user.
    """

    def __init__(self, document: dict[str, Any], url: str, headers: dict[str, str]) -> None:
        load_all_checks()
        self.schema = schemathesis.openapi.from_dict(document)
        self._url = url
        self._headers = headers
        # One connection: opening it for each request takes longer than the answer.
        self._session = requests.Session()
        self._session.trust_env = False
        self.answers: Counter[tuple[str, int]] = Counter()
        """How often each operation was answered with each status."""

    def operations(self) -> Iterator[Any]:
        """Yield the operations that are known."""
        found: Any
        for found in self.schema.get_all_operations():
            yield found.ok()

    def faults_of(self, operation: Any) -> list[str]:
        """Return what is wrong with the answers of an operation, to requests in form and to others."""
        in_form = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
        either = st.one_of(in_form, operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))

        @few()
        @given(case=either)
        def send(case: Any) -> None:
            self.call(case)

        return faults(send)

    def call(self, case: Any) -> Any:
        """Send a request and check the answer.

        Raises:
            FailureGroup: The document does not tell of such an answer.
            AssertionError: An error of the service.
        """
        response = case.call(
            base_url=self._url, session=self._session, headers=self._headers, timeout=HUNG_SECONDS
        )
        self.answers[case.operation.label, response.status_code] += 1
        assert response.status_code < 500 or response.status_code == UNAVAILABLE, response.text
        if response.headers.get("content-type", [""])[0].startswith(_EVENT_STREAM):
            case.validate_response(response, checks=_CONFORMANCE, headers=self._headers)
            for block in response.content.split(b"\n\n")[:-1]:
                parse_block(block)
        else:
            whole = [*_CONFORMANCE, checks.response_schema_conformance]
            case.validate_response(response, checks=whole, headers=self._headers)
        return response

    def faults_of_links(self) -> list[str]:
        """Return what is wrong when runs are begun, and what their answers name is used, in any order and repeatedly.

        The order is drawn, never what the service said: so the same requests are sent in every run.
        """
        start: Any = self.schema[f"{BASE}/runs"]["POST"]
        links = start.definition.raw["responses"]["202"]["links"]

        # Each is up to seven requests, and a run.
        @few(-(-EXAMPLES // 4))
        @given(names=st.lists(st.sampled_from(sorted(links)), min_size=2, max_size=6))
        def follow(names: list[str]) -> None:
            body = {"messages": [{"role": "user", "content": "hello"}]}
            told = self.call(start.Case(body=body, media_type="application/json")).json()
            for name in names:
                self.call(self._linked(links[name], told))

        return faults(follow)

    def _linked(self, link: dict[str, Any], told: dict[str, Any]) -> Any:
        """Return the request of a link (OpenAPI 3.1, link object) behind an answer."""
        path, method = link["operationRef"].removeprefix("#/paths/").rsplit("/", 1)
        path = path.replace("~1", "/").replace("~0", "~")

        def filled(members: dict[str, str]) -> dict[str, Any]:
            return {name: told[value.removeprefix("$response.body#/")] for name, value in members.items()}

        named = filled(link["parameters"])
        in_path = {name: value for name, value in named.items() if f"{{{name}}}" in path}
        query = {name: value for name, value in named.items() if name not in in_path}
        operation: Any = self.schema[path][method.upper()]
        if "requestBody" not in link:
            return operation.Case(path_parameters=in_path, query=query)
        body = filled(link["requestBody"])
        return operation.Case(path_parameters=in_path, query=query, body=body, media_type="application/json")


def faults(send: Callable[[], None]) -> list[str]:
    """Return what a fuzzer found."""
    try:
        send()
    except (Failure, FailureGroup, AssertionError, ExceptionGroup) as found:
        return [f"{found}"]
    return []


def documented(response: httpx.Response, statuses: Container[int]) -> None:
    """Check an answer to a request that no API document describes.

    Raises:
        AssertionError: An unexpected status, or a refusal that is no problem document.
    """
    assert response.status_code in statuses, (response.status_code, response.text[:500])
    if response.status_code >= 400:
        assert response.headers["content-type"] == "application/problem+json", response.text[:500]
        assert response.json()["status"] == response.status_code


_BOUNDARY = "part"
forms = st.lists(
    st.sampled_from(
        [
            f"--{_BOUNDARY}",
            f"--{_BOUNDARY}--",
            "\r\n",
            "\n",
            "\r\n\r\n",
            'Content-Disposition: form-data; name="file"; filename="a.wav"',
            "Content-Disposition: form-data; name=\"file\"; filename*=UTF-8''%ff",
            'Content-Disposition: form-data; name="language"',
            'Content-Disposition: form-data; name=""',
            "Content-Disposition: attachment",
            "Content-Type: audio/wav",
            "Content-Type: ;;;=",
            "Content-Transfer-Encoding: base64",
            "X: " + "y" * 9000,
            "RIFF\x00\x00\x00\x00WAVEfmt ",
            "\x00",
        ]
    )
    | st.text(max_size=8),
    max_size=14,
).map(lambda pieces: "".join(pieces).encode())
"""Bodies of ``multipart/form-data``, mostly with something wrong."""
FORM_TYPE = f"multipart/form-data; boundary={_BOUNDARY}"

# No client sends control characters in a header: the server refuses such a request before the service sees it.
_visible = st.text(st.characters(min_codepoint=33, exclude_categories=["Cc", "Cs"]), min_size=1, max_size=3)
cursors = st.lists(
    st.sampled_from(["0", "1", "-", ".", "-0", "9" * 30, "+1", "01", "1e9", "%00", "NaN"]) | _visible,
    max_size=5,
).map("".join)

_values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just([]) | st.just({})
)
_claims = st.dictionaries(
    st.sampled_from(["sub", "exp", "iat", "nbf", "iss", "aud", "tenant", "scope"]), _values
)
_heads = st.fixed_dictionaries(
    {"alg": st.sampled_from(["none", "None", "HS256", "HS512", "RS256", "ES256", "EdDSA", ""]) | _values},
    optional={
        "kid": _values,
        "typ": _values,
        "crit": _values,
        "jwk": _values,
        "jku": st.just("http://127.0.0.1:1/"),
    },
)


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


tokens = st.builds(
    lambda head, claims, signature: f"{_part(head)}.{_part(claims)}.{signature}",
    _heads,
    _claims,
    st.sampled_from(["", "AAAA", "!", "a.b"]),
) | st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
"""Tokens that nobody has signed."""
