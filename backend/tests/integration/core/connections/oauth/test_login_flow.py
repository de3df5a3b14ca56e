"""Logins from the link to the tokens: the real authorization server checks what a browser would bring."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
from sqlalchemy import text
from tests.support.oauth_place import BROWSER, KEY, Place, Process, placed

from core.connections.oauth.exchange import revoke
from core.connections.oauth.failures import OAuthFailed
from core.connections.oauth.login import LinkNotGood, Logins, TooManyAttempts
from core.connections.oauth.login_store import MOST_ATTEMPTS, drop_logins
from core.connections.oauth.server import OAuthServer
from core.connections.vault import Vault
from core.identity import Principal

ADA, EVE = Principal("t", "ada"), Principal("t", "eve")


async def left(place: Place, logins: Logins, principal: Principal = ADA) -> tuple[str, dict[str, str]]:
    """Begin a login and come back from the authorization server: the link, and what the browser brings."""
    link = (await logins.begin(principal, "mail")).rpartition("/")[2]
    return link, await place.redirect(await logins.leave(link, BROWSER))


async def test_a_user_logs_in_and_gets_a_token_for_this_server_alone(place: Place, process: Process) -> None:
    logins = process.logins(place.server)
    link = (await logins.begin(ADA, "mail")).rpartition("/")[2]

    opened = await logins.open(link)
    assert (opened.server, opened.host, opened.user) == ("mail", "127.0.0.1", "ada")
    query = await place.redirect(await logins.leave(link, BROWSER))
    outcome = await logins.come_back("mail", query, BROWSER)

    assert (outcome.connected, outcome.words) == (True, "Your account at mail is connected.")
    grant = await process.grant(ADA, place.server)
    assert await place.token_works(grant.access_token)
    assert (grant.resource, grant.scope) == (place.server.resource, "mail.read")
    (row,) = await process.connections.list_all(ADA)
    assert (row.state, row.kind, row.renewable) == ("connected", "oauth", True)
    # The link and the state are used up, and nobody else was connected.
    with pytest.raises(LinkNotGood):
        await logins.open(link)
    with pytest.raises(LinkNotGood):
        await logins.come_back("mail", query, BROWSER)
    assert await process.connections.list_all(EVE) == []
    # One registration for all users.
    assert (await place.log_in(logins, EVE)).connected
    assert place.authority.counts == {"register": 1, "code": 2}

    await revoke(process.http, place.server, grant)
    assert not await place.token_works(grant.access_token)


@pytest.mark.parametrize(
    ("change", "browser", "name"),
    [
        ({"state": "guessed"}, BROWSER, "mail"),
        ({"state": ""}, BROWSER, "mail"),
        # Somebody was sent the authorization server's address, past the page that names the user.
        ({}, "another-browser", "mail"),
        ({}, "", "mail"),
        # Another authorization server passes the code off as its own.
        ({}, BROWSER, "github"),
    ],
)
async def test_a_return_that_belongs_to_nobody_connects_nobody(
    place: Place, process: Process, change: dict[str, str], browser: str, name: str
) -> None:
    logins = process.logins(place.server)
    _, query = await left(place, logins)

    with pytest.raises(LinkNotGood):
        await logins.come_back(name, {**query, **change}, browser)

    assert place.authority.counts["code"] == 0
    assert await process.connections.list_all(ADA) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"iss": "https://evil.example"}, "came from another authorization server"),
        ({"iss": None}, "came from another authorization server"),
        ({"code": "stolen"}, "invalid_grant"),
        ({"code": ""}, "has no code"),
        ({"error": "access_denied", "code": None}, "You did not agree"),
        ({"error": "invalid_scope", "code": None}, "refused: invalid_scope"),
        ({"error": "<script>", "code": None}, "refused: an error"),
    ],
)
async def test_an_answer_that_is_no_login_is_told_in_words_and_can_be_tried_again(
    place: Place, process: Process, change: dict[str, Any], words: str
) -> None:
    logins = process.logins(place.server)
    link, query = await left(place, logins)

    changed = {name: value for name, value in {**query, **change}.items() if value is not None}
    outcome = await logins.come_back("mail", changed, BROWSER)

    assert not outcome.connected
    assert words in outcome.words
    assert outcome.again == f"https://agents.example.com/api/v1/agent/connections/login/{link}"
    # The same link again.
    query = await place.redirect(await logins.leave(link, BROWSER))
    assert (await logins.come_back("mail", query, BROWSER)).connected


async def test_only_the_newest_attempt_of_a_link_counts_and_everything_ends(
    place: Place, process: Process, processes: list[Process]
) -> None:
    logins = process.logins(place.server)
    link, first = await left(place, logins)
    second = await place.redirect(await logins.leave(link, BROWSER))

    with pytest.raises(LinkNotGood):
        await logins.come_back("mail", first, BROWSER)
    # Two returns at once, in two processes: one login.
    others = [each.logins(place.server) for each in processes]
    answers = await asyncio.gather(
        *(each.come_back("mail", second, BROWSER) for each in others), return_exceptions=True
    )
    assert [type(answer).__name__ for answer in answers].count("LinkNotGood") == 2
    assert place.authority.counts["code"] == 1

    link, query = await left(place, logins)
    async with process.engine.begin() as connection:
        await connection.execute(text("UPDATE agent_oauth_login SET attempt_until = now() - interval '1 s'"))
    with pytest.raises(LinkNotGood):
        await logins.come_back("mail", query, BROWSER)
    assert await drop_logins(process.engine, rows=10) == 0
    async with process.engine.begin() as connection:
        await connection.execute(text("UPDATE agent_oauth_login SET expires_at = now() - interval '1 d'"))
    with pytest.raises(LinkNotGood):
        await logins.leave(link, BROWSER)
    assert await drop_logins(process.engine, rows=1) == 1
    assert await drop_logins(process.engine, rows=10) == 1


@pytest.mark.parametrize("key", [KEY, bytes(32)], ids=["another version", "a key that is gone"])
async def test_an_attempt_that_this_process_cannot_read_is_begun_again(
    place: Place, process: Process, key: bytes
) -> None:
    logins = process.logins(place.server)
    link, query = await left(place, logins)
    sealed = Vault([key]).seal('{"field": 1}', "oauth-login", "t", "ada", "mail", place.server.resource)
    async with process.engine.begin() as connection:
        await connection.execute(text("UPDATE agent_oauth_login SET attempt = :sealed"), {"sealed": sealed})

    with pytest.raises(LinkNotGood):
        await logins.come_back("mail", query, BROWSER)

    query = await place.redirect(await logins.leave(link, BROWSER))
    assert (await logins.come_back("mail", query, BROWSER)).connected


async def test_a_link_for_an_address_that_the_profile_has_no_more_leads_nowhere(
    place: Place, process: Process
) -> None:
    link = (await process.logins(place.server).begin(ADA, "mail")).rpartition("/")[2]

    moved = process.logins(OAuthServer("mail", "https://elsewhere.example/mcp"))

    with pytest.raises(LinkNotGood):
        await moved.open(link)


async def test_nothing_that_the_flow_gives_out_is_stored_in_words(place: Place, process: Process) -> None:
    logins = process.logins(place.server)
    link, query = await left(place, logins)
    await place.log_in(logins, EVE)
    assert query["code"] in place.authority.seen

    tables = ("agent_oauth_login", "agent_oauth_client", "agent_connection")
    async with process.engine.connect() as connection:
        rows = [
            str(row.stored)
            for table in tables
            for row in await connection.execute(text(f"SELECT t::text AS stored FROM {table} AS t"))  # noqa: S608
        ]
    stored = "".join(rows) + "".join(bytes.fromhex(part[:-1]).decode("latin-1") for part in _bytes_of(rows))
    assert len(rows) == 4
    for canary in [*place.authority.seen, link, query["state"], BROWSER]:
        assert canary not in stored


def _bytes_of(rows: list[str]) -> list[str]:
    """Return what bytea columns hold, in hexadecimal; the last character of each is what follows it."""
    parts = [part for row in rows for part in row.split("\\x")[1:]]
    return [digits + "!" for part in parts if (digits := "".join(_while_hex(part)))]


def _while_hex(part: str) -> list[str]:
    found: list[str] = []
    for character in part:
        if character not in "0123456789abcdef":
            break
        found.append(character)
    return found


async def test_a_client_that_is_not_known_any_more_is_registered_again(
    place: Place, process: Process
) -> None:
    logins = process.logins(place.server)
    _, query = await left(place, logins)
    place.authority.forget_clients()
    await process.age_clients()

    outcome = await logins.come_back("mail", query, BROWSER)

    assert not outcome.connected
    assert "unauthorized_client" in outcome.words
    assert (await place.log_in(logins, ADA)).connected
    assert place.authority.counts["register"] == 2

    # It says so only to the user, who never comes back: after a few times it is tried with a new client.
    place.authority.forget_clients()
    link = (await logins.begin(ADA, "mail")).rpartition("/")[2]
    for _ in range(4):
        await logins.leave(link, BROWSER)
    assert place.authority.counts["register"] == 2
    await process.age_clients()
    query = await place.redirect(await logins.leave(link, BROWSER))
    assert (await logins.come_back("mail", query, BROWSER)).connected
    assert place.authority.counts["register"] == 3


async def test_a_login_by_another_client_withdraws_the_one_before(place: Place, process: Process) -> None:
    logins = process.logins(place.server)
    assert (await place.log_in(logins, ADA)).connected
    # By the same client: the server may take the end of one login as the end of both.
    assert (await place.log_in(logins, ADA)).connected
    assert place.authority.counts["revoke"] == 0
    before = await process.grant(ADA, place.server)
    await process.age_clients()
    await process.clients.forget(before.issuer, before.client_id)

    assert (await place.log_in(logins, ADA)).connected

    assert place.authority.counts["revoke"] == 1
    assert not await place.token_works(before.access_token)
    assert await place.token_works((await process.grant(ADA, place.server)).access_token)


async def test_whoever_has_a_link_makes_few_registrations_and_few_attempts(
    place: Place, process: Process
) -> None:
    logins = process.logins(place.server)
    link = (await logins.begin(ADA, "mail")).rpartition("/")[2]
    presses = [asyncio.create_task(process.logins(place.server).leave(link, BROWSER)) for _ in range(5)]
    await asyncio.gather(*presses)
    begun = place.authority.counts["register"]
    await process.age_clients()

    for _ in range(MOST_ATTEMPTS - 5):
        await logins.leave(link, BROWSER)
    with pytest.raises(TooManyAttempts):
        await logins.leave(link, BROWSER)

    # The old client once, and then a new one is kept.
    assert place.authority.counts["register"] == begun + 1
    # A server that says that it does not know a client which it has just made is not asked for another at once.
    known = await process.clients.find(place.authority.issuer, logins.links.callback("mail"))
    assert known is not None
    await process.clients.forget(place.authority.issuer, known.client.client_id)
    assert (await place.log_in(logins, EVE)).connected
    assert place.authority.counts["register"] == begun + 1


async def test_users_with_different_scopes_share_one_client(place: Place, process: Process) -> None:
    for number in range(6):
        server = dataclasses.replace(place.server, scopes=(("mail.read", "mail.send")[number % 2],))
        assert (await place.log_in(process.logins(server), Principal("t", f"u{number}"))).connected

    assert place.authority.counts["register"] == 2
    links = process.logins(place.server).links
    known = await process.clients.find(place.authority.issuer, links.callback("mail"))
    assert known is not None
    assert known.scopes == ("mail.read", "mail.send")


async def test_a_secret_that_ends_soon_is_no_reason_to_register_each_time(
    place: Place, process: Process
) -> None:
    logins = process.logins(place.server)
    assert (await place.log_in(logins, ADA)).connected
    async with process.engine.begin() as connection:
        await connection.execute(text("UPDATE agent_oauth_client SET expires_at = now() + interval '9 min'"))

    assert (await place.log_in(logins, EVE)).connected
    assert place.authority.counts["register"] == 1
    await process.age_clients()
    assert (await place.log_in(logins, ADA)).connected
    assert place.authority.counts["register"] == 2


async def test_only_the_operator_names_an_authorization_server_of_a_private_network(
    place: Place, process: Process
) -> None:
    server = dataclasses.replace(place.server, authorization_server=None)

    with pytest.raises(OAuthFailed, match=r"not https.*authorization_server in \[mcp.oauth\]"):
        await place.log_in(process.logins(server), ADA)


async def test_processes_that_register_at_once_use_one_client(place: Place, processes: list[Process]) -> None:
    everybody = [Principal("t", f"u{number}") for number in range(6)]

    outcomes = await asyncio.gather(
        *(
            place.log_in(processes[number % 3].logins(place.server), user)
            for number, user in enumerate(everybody)
        )
    )

    assert all(outcome.connected for outcome in outcomes)
    grants = [await processes[0].grant(user, place.server) for user in everybody]
    assert len({grant.client_id for grant in grants}) == 1


async def test_without_registration_the_operators_client_logs_in(process: Process) -> None:
    async with placed(registration=False) as place:
        with pytest.raises(OAuthFailed, match=r"set client_id and authorization_server in \[mcp.oauth\]"):
            await place.log_in(process.logins(place.server), ADA)

        from mcp.shared.auth import OAuthClientInformationFull

        place.authority.clients["shop"] = OAuthClientInformationFull.model_validate(
            {
                "client_id": "shop",
                "client_secret": "s:e/c%ret",
                "redirect_uris": ["https://agents.example.com/api/v1/agent/connections/callback/mail"],
                "scope": "mail.read mail.send",
                "token_endpoint_auth_method": "client_secret_basic",
            }
        )
        server = dataclasses.replace(
            place.server,
            client_id="shop",
            client_secret="s:e/c%ret",
            scopes=("mail.read", "mail.send"),
            authorization_server=place.authority.issuer,
        )
        assert (await place.log_in(process.logins(server), ADA)).connected
        assert (await process.grant(ADA, server)).scope == "mail.read mail.send"

        place.authority.denies = True
        outcome = await place.log_in(process.logins(server), EVE)
        assert (outcome.connected, outcome.denied) == (False, True)


async def test_a_server_that_is_away_is_told_before_the_user_leaves(place: Place, process: Process) -> None:
    logins = process.logins(place.server)
    place.authority.away = True

    with pytest.raises(OAuthFailed, match="HTTP 503") as failed:
        await place.log_in(logins, ADA)

    assert failed.value.kind == "unreachable"
