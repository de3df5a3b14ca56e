"""Refreshes against a real authorization server that rotates its tokens and notices each that is used twice."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.oauth_place import Place, Process, placed

from core.connections.oauth.failures import OAuthFailed
from core.connections.oauth.grant_keeper import GrantKeeper, LoginRequired
from core.connections.oauth.login_scope import login_scope
from core.connections.oauth.refresh_pace import PAUSE_SECONDS
from core.identity import Principal

ADA = Principal("t", "ada")


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def time() -> Time:
    return Time()


async def test_a_thousand_expiries_over_three_workers_are_one_refresh_per_user(
    place: Place, processes: list[Process], time: Time
) -> None:
    users = [Principal("t", f"u{number}") for number in range(10)]
    logins = processes[0].logins(place.server)
    for user in users:
        assert (await place.log_in(logins, user)).connected
    place.authority.expire()
    time.ahead = timedelta(hours=2)
    keepers = [each.keeper(place.server, clock=time) for each in processes]

    # Each of three workers sees the end of each user's token in 34 runs.
    wanted = [(keeper, user) for _ in range(34) for keeper in keepers for user in users]
    tokens = await asyncio.gather(*(keeper.access_token(user) for keeper, user in wanted))

    assert len(tokens) == 1020
    assert place.authority.counts["refresh"] == len(users)
    assert place.authority.counts["reuse"] == 0
    for user in users:
        given = {token for token, (_, asked) in zip(tokens, wanted, strict=True) if asked is user}
        assert given == {(await processes[1].grant(user, place.server)).access_token}
    assert await place.token_works(tokens[0])


async def logged_in(place: Place, process: Process, time: Time) -> tuple[GrantKeeper, str]:
    assert (await place.log_in(process.logins(place.server), ADA)).connected
    keeper = process.keeper(place.server, clock=time)
    return keeper, await keeper.access_token(ADA)


async def test_a_token_is_replaced_before_it_ends_and_not_earlier(
    place: Place, process: Process, time: Time
) -> None:
    keeper, first = await logged_in(place, process, time)
    time.ahead = timedelta(seconds=3600 - 65)
    assert await keeper.access_token(ADA) == first

    time.ahead = timedelta(seconds=3600 - 55)
    second = await keeper.access_token(ADA)

    assert second != first
    assert await keeper.access_token(ADA) == second
    assert place.authority.counts["refresh"] == 1
    assert await place.token_works(second)


async def test_without_an_answer_the_user_stays_logged_in(place: Place, process: Process, time: Time) -> None:
    keeper, first = await logged_in(place, process, time)
    place.authority.away = True

    # Soon over, but not yet: the old token is good enough.
    time.ahead = timedelta(seconds=3600 - 55)
    assert await keeper.access_token(ADA) == first
    time.ahead = timedelta(hours=2)
    with pytest.raises(OAuthFailed, match="HTTP 503") as failed:
        await keeper.access_token(ADA)
    assert failed.value.kind == "unreachable"

    place.authority.away = False
    time.ahead += timedelta(seconds=PAUSE_SECONDS + 1)
    assert await keeper.access_token(ADA) != first
    (row,) = await process.connections.list_all(ADA)
    assert row.state == "connected"


@pytest.mark.parametrize("ending", ["withdrawn", "client forgotten"])
async def test_a_grant_that_was_withdrawn_needs_a_login(
    place: Place, process: Process, time: Time, ending: str
) -> None:
    keeper, first = await logged_in(place, process, time)
    if ending == "withdrawn":
        place.authority.end_everything()
    else:
        place.authority.forget_clients()
        await process.age_clients()
    time.ahead = timedelta(hours=2)

    for _ in range(2):
        with pytest.raises(LoginRequired, match="Your login at mail has ended"):
            await keeper.access_token(ADA)

    (row,) = await process.connections.list_all(ADA)
    assert row.state == "refused"
    assert (await place.log_in(process.logins(place.server), ADA)).connected
    time.ahead = timedelta()
    assert await keeper.access_token(ADA) != first


async def test_what_the_server_refuses_is_refreshed_once_and_stays_a_login(
    place: Place, process: Process, time: Time
) -> None:
    keeper, first = await logged_in(place, process, time)
    await keeper.refused(ADA, first, 'Bearer error="invalid_token"')
    second = await keeper.access_token(ADA)
    assert second != first
    # What was sent before the refresh says nothing about what came of it.
    await keeper.refused(ADA, first, "Bearer")
    assert await keeper.access_token(ADA) == second

    # The server has trouble of its own: the user's grant is good.
    await keeper.refused(ADA, second, "Bearer")
    assert await keeper.access_token(ADA) == second
    (row,) = await process.connections.list_all(ADA)
    assert row.state == "connected"
    assert place.authority.counts["refresh"] == 1


async def test_a_token_that_allows_too_little_needs_a_login_for_what_it_had_and_what_it_lacks(
    place: Place, process: Process, processes: list[Process], time: Time
) -> None:
    keeper, first = await logged_in(place, process, time)
    link = (await process.logins(place.server).begin(ADA, "mail")).rpartition("/")[2]
    challenge = 'Bearer error="insufficient_scope", scope="mail.send"'

    with pytest.raises(LoginRequired, match="asks for more permissions"):
        await keeper.refused(ADA, first, challenge)

    # What it allows, it still allows; a refresh forgets nothing.
    assert await keeper.access_token(ADA) == first
    time.ahead = timedelta(hours=2)
    assert await keeper.access_token(ADA) != first
    # Every process knows what to ask for, also with a link from before.
    assert await login_scope(processes[1].connections, ADA, place.server) == "mail.read mail.send"
    logins = processes[2].logins(place.server)
    query = await place.redirect(await logins.leave(link, "b"))
    assert (await logins.come_back("mail", query, "b")).connected
    assert (await process.grant(ADA, place.server)).scope == "mail.read mail.send"
    assert await login_scope(processes[1].connections, ADA, place.server) == ""
    # The client was registered for less.
    assert place.authority.counts["register"] == 2


async def test_what_the_user_does_during_a_refresh_counts(place: Place, process: Process, time: Time) -> None:
    keeper, _ = await logged_in(place, process, time)
    other = process.logins(place.server)
    time.ahead = timedelta(hours=2)
    post = process.http.post_form

    async def connected_anew(*args: object, **more: object) -> object:
        process.http.post_form = post
        answer = await post(*args, **more)  # pyright: ignore[reportArgumentType]
        await place.log_in(other, ADA)
        return answer

    process.http.post_form = connected_anew  # pyright: ignore[reportAttributeAccessIssue]
    time.ahead = timedelta(minutes=59, seconds=30)
    token = await keeper.access_token(ADA)

    assert token == (await process.grant(ADA, place.server)).access_token
    assert await place.token_works(token)


async def test_a_run_that_is_cancelled_loses_no_refresh_token(
    place: Place, process: Process, time: Time
) -> None:
    keeper, _ = await logged_in(place, process, time)
    time.ahead = timedelta(hours=2)
    entered = asyncio.Event()
    post = process.http.post_form

    async def noticed(*args: object, **more: object) -> object:
        entered.set()
        return await post(*args, **more)  # pyright: ignore[reportArgumentType]

    process.http.post_form = noticed  # pyright: ignore[reportAttributeAccessIssue]
    run = asyncio.create_task(keeper.access_token(ADA))
    await entered.wait()
    run.cancel()
    await asyncio.wait({run})
    await keeper.close()

    assert await keeper.access_token(ADA) == (await process.grant(ADA, place.server)).access_token
    assert place.authority.counts["refresh"] == 1


@pytest.mark.parametrize("members", [{"lasts_seconds": None}, {"rotates": False}])
async def test_servers_that_say_less_are_fine(
    process: Process, time: Time, members: dict[str, object]
) -> None:
    async with placed(**members) as place:
        keeper, first = await logged_in(place, process, time)
        time.ahead = timedelta(hours=2)

        if members.get("lasts_seconds", 0) is None:
            # Nobody knows its end: it is used until the server refuses it.
            assert await keeper.access_token(ADA) == first
            await keeper.refused(ADA, first, "")
        second = await keeper.access_token(ADA)

        assert second != first
        assert place.authority.counts["refresh"] == 1
        assert (await process.grant(ADA, place.server)).refresh_token is not None
