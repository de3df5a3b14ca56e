"""The parts of webhooks without I/O: signatures, the schedule, tokens of links, settings, what a run may name."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from standardwebhooks import Webhook

from core.connections.vault import Vault
from core.errors import ConfigurationError, InvalidRequest, UrlNotAllowed
from core.redaction import Redactor, secrets_of
from core.webhook_settings import WebhookSettings
from core.webhooks.approval_token import ApprovalTokens, LinkedQuestion, read_token
from core.webhooks.message import is_yes_or_no
from core.webhooks.run_webhook import RunWebhookPolicy
from core.webhooks.schedule import PAUSES_SECONDS, TRIES, pause_after, read_retry_after
from core.webhooks.sender import NOT_ALLOWED, Target, WebhookSender, own_target
from core.webhooks.signing import signed_headers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
QUESTION = LinkedQuestion(7, "interrupt-1", 3, "run-1")
NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def settings(**members: Any) -> WebhookSettings:
    return WebhookSettings.model_validate(members)


def endpoint(**members: Any) -> dict[str, Any]:
    return {"name": "crm", "url": "https://example.com/hook", "secrets": SECRET, **members}


# --- signatures -------------------------------------------------------------------------


@given(body=st.text(max_size=200), key=st.binary(min_size=24, max_size=64))
def test_every_secret_signs_as_the_official_library_does(body: str, key: bytes) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    headers = signed_headers("msg_1", int(NOW.timestamp()), body.encode(), [SECRET, secret])
    signed = [Webhook(each).sign("msg_1", NOW, body) for each in (SECRET, secret)]
    assert headers["webhook-signature"].split(" ") == signed
    assert headers["webhook-id"] == "msg_1"
    assert headers["webhook-timestamp"] == str(int(NOW.timestamp()))


# --- the schedule -----------------------------------------------------------------------


def test_the_pauses_are_those_of_the_specification() -> None:
    # At once, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h.
    hours = [pause / 3600 for pause in PAUSES_SECONDS[3:]]
    assert (PAUSES_SECONDS[:3], hours) == ((5, 300, 1800), [2, 5, 10, 14, 20, 24])
    for failures, pause in enumerate(PAUSES_SECONDS, start=1):
        found = pause_after(failures, None)
        assert found is not None
        assert pause <= found <= pause * 1.1
    assert pause_after(TRIES, None) is None
    assert pause_after(TRIES, 5) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 5 ", 5.0),
        ("Sat, 28 Nov 2026 12:01:00 GMT", 60.0),
        ("Sat, 28 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("9" * 400, 999_999_999.0),
        ("٣", None),
        (None, None),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str | None, seconds: float | None) -> None:
    assert read_retry_after(header, NOW) == seconds


def test_a_receiver_may_ask_for_more_time_but_for_a_day_at_most() -> None:
    assert pause_after(1, 60) == 60
    later = pause_after(3, 60)
    assert later is not None
    assert later >= 1800
    longest = pause_after(1, 10**9)
    assert longest is not None
    assert longest <= 86_400 * 1.1


def test_messages_are_kept_until_their_last_try() -> None:
    with pytest.raises(ValidationError, match="retention_days"):
        settings(retention_days=3)
    kept = settings(retention_days=4).retention_days * 86_400
    assert sum(pause_after(failures, None) or 0 for failures in range(1, TRIES)) < kept


# --- tokens of links --------------------------------------------------------------------


@given(
    pk=st.integers(min_value=0, max_value=2**63 - 1),
    run_pk=st.integers(min_value=0, max_value=2**63 - 1),
    names=st.tuples(st.text(max_size=20), st.text(max_size=20)),
    approves=st.booleans(),
)
def test_a_token_fits_its_question_and_no_other(
    pk: int, run_pk: int, names: tuple[str, str], approves: bool
) -> None:
    question = LinkedQuestion(pk, names[0], run_pk, names[1])
    tokens = ApprovalTokens([bytes(range(32))])
    token = read_token(tokens.make(question, approves=approves))
    assert token is not None
    assert (token.interrupt_pk, token.approves) == (pk, approves)
    assert tokens.fits(token, question)
    others = [
        LinkedQuestion(pk ^ 1, names[0], run_pk, names[1]),
        LinkedQuestion(pk, names[0], run_pk ^ 1, names[1]),
        LinkedQuestion(pk, f"{names[0]}x", run_pk, names[1]),
        LinkedQuestion(pk, names[0], run_pk, f"{names[1]}x"),
    ]
    assert not any(tokens.fits(token, other) for other in others)
    assert not ApprovalTokens([bytes(32)]).fits(token, question)


def test_a_token_of_an_older_key_fits_as_long_as_the_key_is_there() -> None:
    old, new = bytes(range(32)), bytes(range(1, 33))
    token = read_token(ApprovalTokens([old]).make(QUESTION, approves=True))
    assert token is not None
    assert ApprovalTokens([new, old]).fits(token, QUESTION)
    assert not ApprovalTokens([new]).fits(token, QUESTION)


@given(st.text(max_size=80))
def test_any_text_is_a_token_or_is_none(text: str) -> None:
    read_token(text)
    read_token(f"arl_{text}")


@pytest.mark.parametrize(
    ("schema", "fits"),
    [
        ({"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": ["approved"]}, True),
        (
            {
                "type": "object",
                "properties": {"approved": {"type": "boolean"}, "input": {"type": "object"}},
                "required": ["approved"],
                "additionalProperties": False,
            },
            True,
        ),
        (
            {
                "type": "object",
                "properties": {"approved": {"type": "boolean"}},
                "required": ["approved", "why"],
            },
            False,
        ),
        ({"type": "object", "properties": {"approved": {"const": True, "type": "boolean"}}}, False),
        ({"type": "object", "properties": {"colour": {"type": "string"}}}, False),
        ({"type": "string"}, False),
        ({"type": "object", "properties": {"approved": {"type": "boolean"}}, "not": {}}, False),
        ({"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": "approved"}, False),
        (True, False),
        ({}, False),
    ],
)
def test_only_a_yes_or_a_no_has_links(schema: Any, fits: bool) -> None:
    assert is_yes_or_no(schema) is fits


# --- settings ---------------------------------------------------------------------------


def test_secrets_may_be_a_list_or_a_text_and_are_masked_in_logs() -> None:
    [one] = settings(endpoints=[endpoint(secrets=[SECRET, SECRET])]).endpoints
    [other] = settings(endpoints=[endpoint(secrets=f"{SECRET}, {SECRET}")]).endpoints
    assert one.signing_secrets == other.signing_secrets == (SECRET, SECRET)
    assert SECRET not in repr(one)
    found = settings(endpoints=[endpoint(url="https://example.com/very-secret-path")])
    redactor = Redactor(secrets_of(found))
    assert redactor.text(f"{SECRET} https://example.com/very-secret-path") == "[redacted] [redacted]"
    assert Redactor().text(f"a {SECRET} b") == "a [redacted] b"


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoints": [endpoint(secrets="MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]},
        {"endpoints": [endpoint(secrets="whsec_short")]},
        {"endpoints": [endpoint(secrets="whsec_" + base64.b64encode(bytes(65)).decode())]},
        {"endpoints": [endpoint(secrets="")]},
        {"endpoints": [endpoint(secrets=[SECRET] * 5)]},
        {"endpoints": [endpoint(url="ftp://example.com")]},
        {"endpoints": [endpoint(url="https://user:password@example.com")]},
        {"endpoints": [endpoint(url="https://example.com:99999")]},
        {"endpoints": [endpoint(url="https://bücher.example.com/")]},
        {"endpoints": [endpoint(url="https://example.com/a b")]},
        {"endpoints": [endpoint(name="With Space")]},
        {"endpoints": [endpoint(name="host:example.com")]},
        {"endpoints": [endpoint(events=["run.started"])]},
        {"endpoints": [endpoint(events=[])]},
        {"endpoints": [endpoint(), endpoint()]},
        {"run_hosts": ["*.example.com"]},
        {"run_hosts": ["https://example.com"]},
        {"private_hosts": ["a b:80:80"]},
        {"timeout_seconds": 31},
    ],
)
def test_settings_that_cannot_work_are_refused_without_the_secret(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(**wrong)
    for error in refused.value.errors():
        assert SECRET not in error["msg"]


# --- what a run may name ----------------------------------------------------------------


def policy(**members: Any) -> RunWebhookPolicy:
    return RunWebhookPolicy(settings(**members), Vault([bytes(range(32))]))


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://hooks.example.com/x?y=z", "hooks.example.com"),
        ("https://HOOKS.example.com./", "hooks.example.com"),
        ("https://hooks.example.com:443/", "hooks.example.com"),
        ("https://other.example.com:8443/", "other.example.com:8443"),
        ("http://inside.example.com:8080/", "inside.example.com:8080"),
    ],
)
def test_an_allowed_host_is_its_lane(url: str, host: str) -> None:
    rules = policy(
        run_hosts=["hooks.example.com", "other.example.com:8443", "inside.example.com:8080"],
        private_hosts=["inside.example.com:8080"],
    )
    found = rules.read(url, SECRET)
    assert found is not None
    assert found.host == host
    assert SECRET not in repr(found)
    assert url not in repr(found)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("https://hooks.example.com:8443/", UrlNotAllowed),
        ("http://hooks.example.com/", UrlNotAllowed),
        ("https://evil-hooks.example.com/", UrlNotAllowed),
        ("https://hooks.example.com.evil.net/", UrlNotAllowed),
        ("https://user@hooks.example.com/", InvalidRequest),
        ("https://hooks.example.com@evil.net/", InvalidRequest),
        ("https://hooks.example.com/\n", None),
        ("https://hooks.example.com/ a", InvalidRequest),
        ("https://hooks.example.com/ä", InvalidRequest),
        ("https://hooks.example.com/" + "a" * 3000, InvalidRequest),
        ("file:///etc/passwd", InvalidRequest),
        ("", InvalidRequest),
    ],
)
def test_another_address_is_refused(url: str, error: type[Exception] | None) -> None:
    rules = policy(run_hosts=["hooks.example.com"])
    if error is None:
        assert rules.read(url, SECRET) is not None
    else:
        with pytest.raises(error):
            rules.read(url, SECRET)


def test_without_a_key_no_run_can_name_an_endpoint() -> None:
    with pytest.raises(ConfigurationError, match="AGENT_SECRETS__KEY"):
        RunWebhookPolicy(settings(run_hosts=["example.com"]), Vault([]))


# --- one try ----------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::1"])
async def test_a_name_of_a_run_that_leads_inside_is_not_asked(address: str) -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        return [address]

    sender = WebhookSender(1, resolve=resolve)
    failure = await sender.send(Target("https://hooks.example.com/", (SECRET,)), "msg_1", b"{}")
    assert failure is not None
    assert failure.error == NOT_ALLOWED


@pytest.mark.parametrize("url", ["https://a*b/", "https://exa$mple.com/", "https://1.2.3.4.5/"])
async def test_a_host_that_is_none_is_a_failure_that_is_noted(url: str) -> None:
    failure = await WebhookSender(1).send(own_target(url, [SECRET]), "msg_1", b"{}")
    assert failure is not None
    assert failure.error == NOT_ALLOWED


def test_the_operators_own_address_may_be_private() -> None:
    assert own_target("http://crm.internal/hook", [SECRET]).private == ("crm.internal:80",)
    assert own_target("https://[::1]:8443/hook", [SECRET]).private == ("[::1]:8443",)
