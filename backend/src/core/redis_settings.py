"""The section of the settings that says where Redis is, and how much it holds."""

from __future__ import annotations

from pydantic import Field, SecretStr, model_validator

from core.redis_kinds.place import RedisPlace, read_place
from core.secret_values import SecretUrl
from core.settings_section import SettingsSection


class RedisSettings(SettingsSection):
    """Redis (or Valkey): hints for workers, and the tail of threads. A complete loss of Redis loses no data."""

    url: SecretUrl = SecretStr("")
    """One server, a primary behind Sentinels, or a cluster: the forms are in ``redis_kinds.place``."""
    sentinel_username: str = ""
    sentinel_password: SecretStr = SecretStr("")
    """The Sentinels' own, if they have any. User and password of the URL are those of the servers."""
    key_prefix: str = Field(default="agentroute", pattern=r"^[A-Za-z0-9_.:-]{1,64}$")
    pool_size: int = Field(default=20, gt=2, le=1000)
    command_timeout_seconds: float = Field(default=1.0, gt=0, lt=5)
    tail_entries: int = Field(default=5000, ge=100)
    """Entries in a thread's Redis stream; older events come from Postgres."""
    tail_bytes: int = Field(default=4 << 20, ge=1 << 16)
    """About the maximum size of a thread's Redis stream: large events make it shorter."""
    tail_seconds: int = Field(default=3600, ge=60)
    """Idle time after which a thread's Redis stream is deleted."""
    hint_entries: int = Field(default=10_000, ge=100)
    """Maximum length of the hint stream. Hints may be lost: the reaper sends them again."""

    @property
    def place(self) -> RedisPlace:
        """What the URL says. Raises ``ValueError`` if there is none."""
        return read_place(self.url.get_secret_value())

    @property
    def is_cluster(self) -> bool:
        """Whether keys belong to slots, and channels to servers."""
        # Asked for each batch of events, so the URL is not read again.
        return self.url.get_secret_value().lower().startswith(("redis+cluster://", "rediss+cluster://"))

    def key(self, name: str, number: int) -> str:
        """Return a name of a thread's own; all of them are in one slot.

        Outside of clusters it is as the versions write it that knew no cluster.
        """
        return (
            f"{self.key_prefix}:{name}:{{{number}}}"
            if self.is_cluster
            else f"{self.key_prefix}:{name}:{number}"
        )

    @model_validator(mode="after")
    def _is_usable(self) -> RedisSettings:
        kind = self.place.kind if self.url.get_secret_value() else "single"
        if kind != "sentinel" and (self.sentinel_username or self.sentinel_password.get_secret_value()):
            raise ValueError(
                "AGENT_REDIS__SENTINEL_USERNAME and …_PASSWORD need redis+sentinel://… in AGENT_REDIS__URL"
            )
        return self
