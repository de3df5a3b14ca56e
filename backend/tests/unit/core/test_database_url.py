"""What a user may write as the URL of Postgres."""

from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from core.config import DatabaseSettings
from core.postgres_connection import asyncpg_dsn, direct_dsn


def dsn(url: str) -> str:
    return asyncpg_dsn(DatabaseSettings(url=SecretStr(url)))


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg"])
def test_any_driver_may_be_named(scheme: str) -> None:
    assert dsn(f"{scheme}://ada:p%40ss@db:5432/app") == "postgresql://ada:p%40ss@db:5432/app"


def test_what_the_driver_understands_reaches_it_unchanged() -> None:
    rest = "ada:secret@one:5432,two:5433/app?sslmode=verify-full&target_session_attrs=primary"

    assert dsn(f"postgresql://{rest}") == f"postgresql://{rest}"


@pytest.mark.parametrize("url", ["", "app", "mysql://ada@db/app", "host=db user=ada"])
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="Postgres"):
        dsn(url)


def test_without_a_pooler_both_urls_are_one() -> None:
    settings = DatabaseSettings(url=SecretStr("postgresql://ada@db/app"))

    assert not settings.is_pooled
    assert direct_dsn(settings) == asyncpg_dsn(settings)


def test_a_direct_url_makes_the_other_one_a_poolers() -> None:
    settings = DatabaseSettings(
        url=SecretStr("postgresql://ada@pooler:6432/app"), direct_url=SecretStr("postgres://ada@db/app")
    )

    assert settings.is_pooled
    assert (asyncpg_dsn(settings), direct_dsn(settings)) == (
        "postgresql://ada@pooler:6432/app",
        "postgresql://ada@db/app",
    )


def test_a_direct_url_alone_is_refused() -> None:
    with pytest.raises(ValidationError, match="set that one, too"):
        DatabaseSettings(direct_url=SecretStr("postgresql://ada@db/app"))


def test_a_replica_is_treated_as_behind_a_pooler_and_waited_for_less() -> None:
    settings = DatabaseSettings(
        url=SecretStr("postgresql://ada@db/app"),
        replica_url=SecretStr("postgresql+asyncpg://eve@replica/app"),
        pool_size=7,
    )

    assert settings.has_replica
    assert not settings.is_pooled
    assert settings.replica.is_pooled
    assert asyncpg_dsn(settings.replica) == "postgresql://eve@replica/app"
    assert settings.replica.pool_size == 7
    assert settings.replica.statement_timeout_seconds == 2
    assert settings.replica.silence_seconds == 0.5


def test_without_a_replica_there_is_none() -> None:
    assert not DatabaseSettings(url=SecretStr("postgresql://ada@db/app")).has_replica


@pytest.mark.parametrize(
    ("url", "replica", "says"),
    [
        ("", "postgresql://ada@replica/app", "set that one, too"),
        ("postgresql://ada@db/app", "mysql://ada:secret@replica/app", "no URL of Postgres"),
        ("postgresql://ada@db/app", "replica:5432", "no URL of Postgres"),
        ("postgresql://ada@db/app", "postgresql://ada@replica\x00/app", "U\\+0000"),
    ],
)
def test_a_replica_that_cannot_be_one_is_refused(url: str, replica: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says) as refused:
        DatabaseSettings(url=SecretStr(url), replica_url=SecretStr(replica))
    assert "secret" not in str(refused.value)
