"""The places of a process: of one user, and of all."""

from __future__ import annotations

import pytest

from core.errors import Overloaded, RateLimited
from core.identity import Principal
from core.places import Places

ADA, EVE, BOB = (Principal("t", user) for user in ("ada", "eve", "bob"))


def test_a_user_and_all_users_have_only_so_many_places() -> None:
    places = Places(per_user=2, total=3)

    def hold(user: Principal):
        return places.hold(user, too_many="one at a time", full="no room")

    with hold(ADA), hold(ADA):
        with pytest.raises(RateLimited, match="one at a time"), hold(ADA):
            pass
        with hold(EVE), pytest.raises(Overloaded, match="no room"), hold(BOB):
            pass
        with hold(BOB):
            pass


def test_a_place_is_given_back_by_work_that_fails() -> None:
    places = Places(per_user=1, total=1)

    for _ in range(2):
        with pytest.raises(EOFError), places.hold(ADA, too_many="", full=""):
            raise EOFError
