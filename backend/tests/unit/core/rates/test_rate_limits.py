"""The rates of users and tenants, and the headers that tell of them."""

from __future__ import annotations

from typing import Any

import pytest

from core.config import RateSettings
from core.errors import RateLimited
from core.identity import LOCAL, Principal
from core.rates.rate_limits import Counted, RateLimits, rate_headers

ADA, EVE, OTHER = Principal("t", "ada"), Principal("t", "eve"), Principal("u", "ada")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def limits(**settings: Any) -> RateLimits:
    none = dict.fromkeys(RateSettings.model_fields, 0)
    return RateLimits(RateSettings.model_validate(none | settings), Clock())


def admitted(rates: RateLimits, principal: Principal, counted: Counted = "requests", most: int = 50) -> int:
    for number in range(most):
        try:
            rates.check(principal, counted)
        except RateLimited:
            return number
        rates.take(principal, counted)
    return most


def test_users_have_buckets_of_their_own_and_share_the_tenant_s() -> None:
    rates = limits(user_requests_per_minute=5, tenant_requests_per_minute=8)

    assert [admitted(rates, who) for who in (ADA, EVE, OTHER)] == [5, 3, 5]


@pytest.mark.parametrize("counted", ["requests", "runs", "upload-bytes"])
def test_zero_is_no_limit_and_has_no_headers(counted: Counted) -> None:
    rates = limits()

    assert admitted(rates, ADA, counted) == 50
    assert rate_headers(rates.levels(ADA, [counted])) == {}


def test_the_user_of_local_mode_has_no_rates() -> None:
    rates = limits(user_requests_per_minute=1, tenant_requests_per_minute=1)

    assert admitted(rates, LOCAL) == 50


def test_a_refusal_says_whose_limit_it_is_and_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[float, float]] = []

    def most_of(least: float, most: float) -> float:
        drawn.append((least, most))
        return most

    monkeypatch.setattr("random.uniform", most_of)
    rates = limits(user_runs_per_minute=2)
    rates.take(ADA, "runs", 4)

    with pytest.raises(RateLimited, match=r"Too many runs were started: your limit is 2 in 60 sec") as caught:
        rates.check(ADA, "runs")

    # Three of thirty seconds each must come back; and those who are refused together come back at different times.
    assert drawn == [(0, pytest.approx(22.5))]
    assert caught.value.retry_after_seconds == pytest.approx(112.5)


def test_what_is_reserved_and_not_used_is_given_back() -> None:
    rates = limits(user_runs_per_minute=2)
    for used in (False, True, False, True):
        with rates.reserve(ADA, "runs") as place:
            place.used = used
    with pytest.raises(RateLimited), rates.reserve(ADA, "runs"):
        raise AssertionError("never here")


def test_an_upload_larger_than_the_bucket_is_a_debt() -> None:
    rates = limits(user_upload_bytes_per_hour=3600)
    rates.check(ADA, "upload-bytes")
    rates.take(ADA, "upload-bytes", 7200)

    with pytest.raises(RateLimited):
        rates.check(ADA, "upload-bytes")


def test_the_headers_name_each_limit_and_what_is_left_of_it() -> None:
    rates = limits(user_requests_per_minute=60, tenant_requests_per_minute=600, user_runs_per_minute=6)
    rates.take(ADA, "requests", 10)

    assert rate_headers(rates.levels(ADA, ("requests", "runs"))) == {
        "RateLimit-Policy": '"user-requests";q=60;w=60, "tenant-requests";q=600;w=60, "user-runs";q=6;w=60',
        "RateLimit": '"user-requests";r=50;t=10, "tenant-requests";r=590;t=1, "user-runs";r=6;t=0',
    }


def test_a_user_cannot_be_named_like_another_tenant_s() -> None:
    rates = limits(user_requests_per_minute=1)
    pairs = [Principal("a", "b/c"), Principal("a/b", "c"), Principal('a","b', "c"), Principal("a", 'b","c')]

    assert [admitted(rates, who) for who in pairs] == [1] * 4
