"""Settings of every process, read once from ``AGENT_*`` environment variables.

There is one section per subsystem; nested names use two underscores (``AGENT_MODEL__BASE_URL``). A secret may also be in
a file, which ``AGENT_..._FILE`` names. The composition root builds the settings and passes them down. No module has a
global copy.
"""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from core.identity_settings import IdentitySettings as IdentitySettings  # a section like those of this file
from core.origins import read_origin
from core.redis_settings import RedisSettings as RedisSettings  # likewise
from core.schedule_settings import ScheduleSettings
from core.secret_files import SecretFilesSource
from core.secret_values import ApiKey, EncryptionKeys, PostgresUrl, SecretUrl
from core.settings_section import HttpAddress, OptionalPath, SettingsSection
from core.webhook_settings import WebhookSettings

PageOrigin = Annotated[str, AfterValidator(read_origin)]
AdminOnly = Literal["docs", "healthz", "readyz"]


class DatabaseSettings(SettingsSection):
    """Postgres, the source of truth."""

    url: SecretUrl = SecretStr("")
    """``postgresql://user:password@host:5432/name``; a unix socket directory goes in ``?host=/dir``."""
    direct_url: SecretUrl = SecretStr("")
    """Postgres itself, where ``url`` is that of a pooler such as PgBouncer. Empty: ``url`` is Postgres itself."""
    replica_url: PostgresUrl = SecretStr("")
    """A streaming replica, for large reads of API processes. Empty: there is none."""
    replica_timeout_seconds: float = Field(default=2.0, gt=0)
    """A read that the replica has not answered in this time is made at the primary."""
    pool_size: int = Field(default=10, gt=0, le=200)
    """Maximum connections of a process for short transactions. As many again to a replica."""
    pool_timeout_seconds: float = Field(default=5.0, gt=0)
    statement_timeout_seconds: float = Field(default=5.0, gt=0)
    lock_timeout_seconds: float = Field(default=2.0, gt=0)
    silence_seconds: float = Field(default=2.0, gt=0)
    """A server that has not answered this long after the statement timeout counts as unavailable."""

    @model_validator(mode="after")
    def _is_whole(self) -> DatabaseSettings:
        if self.is_pooled and not self.url.get_secret_value():
            raise ValueError("AGENT_DATABASE__DIRECT_URL is beside AGENT_DATABASE__URL: set that one, too")
        if self.has_replica and not self.url.get_secret_value():
            raise ValueError("AGENT_DATABASE__REPLICA_URL is beside AGENT_DATABASE__URL: set that one, too")
        return self

    @property
    def is_pooled(self) -> bool:
        """Whether a pooler may lend another server to each transaction of ``url``."""
        return bool(self.direct_url.get_secret_value())

    @property
    def direct(self) -> str:
        """The URL of Postgres itself."""
        return self.direct_url.get_secret_value() or self.url.get_secret_value()

    @property
    def has_replica(self) -> bool:
        """Whether some reads may come from a replica."""
        return bool(self.replica_url.get_secret_value())

    @property
    def replica(self) -> DatabaseSettings:
        """The replica, as the settings of a database: always as if behind a pooler, so that it may be."""
        return DatabaseSettings(
            url=self.replica_url,
            direct_url=self.replica_url,
            pool_size=self.pool_size,
            pool_timeout_seconds=self.replica_timeout_seconds,
            statement_timeout_seconds=self.replica_timeout_seconds,
            lock_timeout_seconds=self.lock_timeout_seconds,
            silence_seconds=min(self.silence_seconds, self.replica_timeout_seconds / 4),
        )


class ModelSettings(SettingsSection):
    """The OpenAI-compatible endpoint: a LiteLLM proxy or any provider."""

    base_url: HttpAddress = ""
    """Up to and including the version, for example ``https://api.example.com/v1``."""
    api_key: ApiKey = SecretStr("")
    name: str = "demo"
    """Model of stages without a model in the profile."""
    provider: str = ""
    """Provider name shown in usage. If empty, the host of ``base_url``."""
    context_tokens: int = Field(default=128_000, ge=1024)
    connect_timeout_seconds: float = Field(default=10.0, gt=0)
    first_token_timeout_seconds: float = Field(default=60.0, gt=0)
    idle_timeout_seconds: float = Field(default=60.0, gt=0)
    """Maximum time between two chunks of one stream."""
    max_retries: int = Field(default=3, ge=0, le=10)
    """Retries after the first try. A call is retried only before its first delta."""
    max_connections: int = Field(default=200, gt=0)
    prices_path: OptionalPath = None
    """JSON price table that overrides the bundled one."""


class TranscriptionSettings(SettingsSection):
    """Speech to text."""

    engine: Literal["openai", "whisper"] = "openai"
    """``openai``: an OpenAI-compatible endpoint. ``whisper``: in the API process, with the extra of that name."""
    base_url: HttpAddress = ""
    """URL of the endpoint. If empty, the chat model's URL."""
    api_key: ApiKey = SecretStr("")
    """If this key and ``base_url`` are both empty, the chat model's key. That key is never sent to another address."""
    name: str = Field(default="whisper-1", min_length=1)
    """Model name sent; for ``whisper`` a directory of weights, or a size that faster-whisper knows."""
    price_per_minute: Decimal | None = Field(default=None, ge=0, le=1000, allow_inf_nan=False)
    """US dollars, for engines that report no cost. Without a price, their cost is unknown."""
    connect_timeout_seconds: float = Field(default=10.0, gt=0)
    timeout_seconds: float = Field(default=120.0, gt=0)
    """From the start of a call to the last byte of its answer."""
    upload_seconds: float = Field(default=300.0, gt=0)
    """Maximum duration of an upload. A client that disappeared occupies its slot for this time."""
    max_audio_bytes: int = Field(default=25 << 20, ge=1024)
    """25 MiB: what OpenAI takes."""
    max_audio_seconds: float = Field(default=600.0, gt=0, le=3600)
    max_per_user: int = Field(default=3, ge=1)
    """Concurrent transcriptions of one user."""
    max_concurrent: int = Field(default=32, ge=1)
    """Concurrent transcriptions of all users in one API process."""
    max_decoders: int = Field(default=2, ge=1, le=64)
    """Concurrent decoder processes of one API process."""
    repeat_seconds: int = Field(default=600, ge=0)
    """How long a text is kept, so that a repeated upload gets the first answer; 0: it is not kept at all."""


class FileSettings(SettingsSection):
    """Files that users upload. Without a URL, files are off, and attachments stay inline."""

    url: SecretUrl = SecretStr("")
    """``file:///directory``, or ``s3://bucket/prefix``. The API and all workers use the same store."""
    endpoint: HttpAddress = ""
    """Address of an S3-compatible service. If empty, AWS."""
    region: str = Field(default="us-east-1", pattern=r"^[a-zA-Z0-9-]{1,64}$")
    access_key: ApiKey = SecretStr("")
    """If both keys are empty: what AWS' own variables say, or the role of the machine."""
    secret_key: ApiKey = SecretStr("")
    virtual_hosts: bool = False
    """Address buckets as ``bucket.host`` instead of ``host/bucket``."""
    max_file_bytes: int = Field(default=32 << 20, ge=1024, le=5 << 30)
    max_user_bytes: int = Field(default=1 << 30, ge=1024)
    """All files of one user."""
    max_user_files: int = Field(default=1000, ge=1)
    max_request_bytes: int = Field(default=32 << 20, ge=1024)
    """All files in one request to a model. The newest count first."""
    inline_bytes: int = Field(default=64 << 10, ge=0)
    """Inline data of a message above this size becomes a file."""
    upload_seconds: float = Field(default=300.0, gt=0)
    """Maximum duration of an upload."""
    max_uploads_per_user: int = Field(default=4, ge=1)
    """Concurrent uploads of one user, in one API process."""
    max_uploads: int = Field(default=32, ge=1)
    """Concurrent uploads of all users, in one API process."""
    max_downloads_per_user: int = Field(default=16, ge=1)
    """Concurrent downloads of one user, in one API process."""
    max_downloads: int = Field(default=128, ge=1)
    """Concurrent downloads of all users, in one API process."""
    unused_seconds: float = Field(default=86_400.0, ge=60)
    """A file that no message names is deleted after this time."""
    retention_days: int = Field(default=0, ge=0)
    """Every file is deleted so long after its last upload, or the last message that named it; 0: it stays with its threads."""

    @property
    def is_on(self) -> bool:
        """Whether there is a store."""
        return bool(self.url.get_secret_value())

    @model_validator(mode="after")
    def _is_complete(self) -> FileSettings:
        url = self.url.get_secret_value()
        parts = urlsplit(url)
        if url and not (
            (parts.scheme == "file" and not parts.netloc and len(parts.path) > 1)
            or (parts.scheme == "s3" and parts.netloc and not parts.query)
        ):
            raise ValueError("AGENT_FILES__URL must be file:///directory or s3://bucket/prefix")
        if bool(self.access_key.get_secret_value()) != bool(self.secret_key.get_secret_value()):
            raise ValueError("AGENT_FILES__ACCESS_KEY and AGENT_FILES__SECRET_KEY belong together: set both")
        return self


class SecretSettings(SettingsSection):
    """Encryption of what is stored for users: their own tokens for MCP servers."""

    key: EncryptionKeys = SecretStr("")
    """32 bytes in Base64, or several such keys with commas between them. The first one encrypts, all of them decrypt."""


class ServerSettings(SettingsSection):
    """The HTTP process."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    admin_host: str = "127.0.0.1"
    admin_port: int | None = Field(default=None, ge=1, le=65535)
    """The routes of operators are on this port only. ``None``: they are with the others."""
    admin_only: tuple[AdminOnly, ...] = ()
    """What else is on the port of operators, and on no other: ``docs`` is ``/docs`` and ``/openapi.json``."""
    public_url: HttpAddress = ""
    """Where browsers reach the service, such as ``https://agents.example.com``: for logins at MCP servers, links of webhooks."""
    cors_origins: tuple[PageOrigin, ...] = ()
    """Origins of web pages that may call. ``*`` as the port stands for every port: ``http://localhost:*``."""
    cors_loopback: bool = False
    """Also pages of this machine (``http://localhost:...``) may call. Always so in local mode."""
    docs: bool = True
    """Serve ``/docs`` and ``/openapi.json``."""
    page: bool = True
    """Serve the chat page at ``/``."""
    drain_seconds: float = Field(default=10.0, gt=0)
    max_connections: int = Field(default=10_000, ge=16)
    """Open connections of one process; fewer if the process may open fewer files."""

    @model_validator(mode="after")
    def _ports_differ(self) -> ServerSettings:
        if self.admin_port is not None and self.admin_port == self.port:
            raise ValueError("AGENT_SERVER__ADMIN_PORT must differ from AGENT_SERVER__PORT")
        if self.admin_only and self.admin_port is None:
            raise ValueError(
                "AGENT_SERVER__ADMIN_ONLY needs a port of operators: set AGENT_SERVER__ADMIN_PORT"
            )
        return self

    @property
    def readiness(self) -> tuple[str, int]:
        """Host and port at which ``/readyz`` answers."""
        return self.addresses[-1 if "readyz" in self.admin_only else 0]

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Every address on which the process listens: host and port; that of operators is the last."""
        own = (self.host, self.port)
        return (own,) if self.admin_port is None else (own, (self.admin_host, self.admin_port))


class MetricsSettings(SettingsSection):
    """The port on which a process shows its metrics and its health, beside its work."""

    host: str = "127.0.0.1"
    port: int | None = Field(default=None, ge=0, le=65535)
    """``None``: there is no such port. Each process needs one of its own; 0 takes a free one, which the log names."""
    port_path: OptionalPath = None
    """The port is written into this file once something listens on it. The file goes with the process."""


class TraceSettings(SettingsSection):
    """OpenTelemetry. Where spans go, and which of them: its own variables, ``OTEL_EXPORTER_OTLP_ENDPOINT`` and others."""

    enabled: bool = False
    contents: bool = False
    """Record what users, agents and tools say. Whoever reads the traces reads the conversations."""
    user_ids: bool = False
    """Record the ids of users as they are, instead of a hash."""


class StreamSettings(SettingsSection):
    """Server-sent events."""

    heartbeat_seconds: float = Field(default=15.0, gt=0)
    """A comment is sent after this time without an event, or up to a sixteenth of it earlier. A quarter of nginx's default proxy_read_timeout."""
    retry_milliseconds: int = Field(default=2000, ge=100)
    max_age_seconds: float = Field(default=900.0, gt=0)
    """Maximum age of a stream, varied by up to 20 %. The client reconnects with its cursor."""
    page_events: int = Field(default=500, gt=0, le=5000)
    page_bytes: int = Field(default=256 << 10, ge=1 << 12, le=64 << 20)
    """A page that a stream reads and sends at once ends with the event that reaches this size."""
    patrol_seconds: float = Field(default=1.0, gt=0, le=10)
    """Interval of the patrol, which asks Postgres in one query which followed threads have moved on."""


class WorkerSettings(SettingsSection):
    """Processes that execute runs."""

    concurrency: int = Field(default=50, gt=0, le=1000)
    """Concurrent runs of a worker process."""
    user_share: float = Field(default=0.75, gt=0, le=1)
    """The largest part of a worker's runs that one user may have; 1 is no limit. Local mode has one user and no limit."""
    lease_seconds: float = Field(default=30.0, ge=1)
    reap_seconds: float = Field(default=5.0, gt=0)
    hint_after_seconds: float = Field(default=2.0, gt=0)
    """The hint for a queued run is sent again after this time."""
    drain_seconds: float = Field(default=25.0, ge=0)
    max_attempts: int = Field(default=2, ge=1, le=10)
    stall_seconds: float = Field(default=120.0, ge=0)
    """A worker whose event loop has not answered for this time ends itself; 0 is never."""
    flush_interval_seconds: float = Field(default=0.01, ge=0, le=1)
    """Minimum time between the starts of two flushes. Urgent events do not wait."""
    max_pending_bytes: int = Field(default=1 << 20, ge=1 << 16)
    """Maximum size of a run's uncommitted events. A run at this limit waits."""
    max_event_bytes: int = Field(default=8 << 20, ge=1 << 16, le=64 << 20)
    """Maximum size of one event. A larger one ends its run."""
    max_run_bytes: int = Field(default=32 << 20, ge=1 << 16, le=128 << 20)
    """Maximum size of all events of a run. A run that says more is ended."""
    max_flush_bytes: int = Field(default=2 << 20, ge=1 << 16, le=64 << 20)
    """Maximum size of the events in one statement. A larger event has a statement of its own."""
    outage_seconds: float = Field(default=60.0, gt=0)
    """How long a run waits for an unavailable Postgres before the run stops."""
    event_retention_days: int = Field(default=7, ge=1)
    run_retention_days: int = Field(default=30, ge=0)
    """0 is for ever. What ended runs were asked, and the questions they asked."""
    checkpoint_retention_days: int | None = Field(default=None, ge=0)
    """The agent's states that later ones replaced; 0 is for ever, and ``None`` the same time as for what runs were asked."""
    last_checkpoint_retention_days: int = Field(default=0, ge=0)
    """The newest state of a thread that nobody goes on with; 0 is as long as its thread."""
    usage_retention_days: int = Field(default=0, ge=0)
    """What model calls and transcriptions cost; 0 is for ever."""
    thread_retention_days: int = Field(default=0, ge=0)
    """Threads in which nothing has happened for so long are deleted, with their messages and files; 0 is for ever."""
    memory_retention_days: int = Field(default=0, ge=0)
    """What agents were asked to remember; 0 is for ever."""
    budget_retention_days: int = Field(default=32, ge=2)
    """The daily budgets of users."""


class LimitSettings(SettingsSection):
    """What one request, run or user may use. See docs/adr/0007 for the sizes of requests."""

    max_body_bytes: int = Field(default=4 << 20, ge=1024)
    max_user_body_bytes: int = Field(default=16 << 20, ge=1024)
    """All large JSON bodies of one user at once, in one API process. At least one body always has room."""
    max_all_body_bytes: int = Field(default=64 << 20, ge=1024)
    """All large JSON bodies of all users at once, in one API process."""
    body_seconds: float = Field(default=60.0, gt=0)
    """How long a JSON body may take to arrive."""
    max_messages: int = Field(default=5000, ge=1)
    max_message_bytes: int = Field(default=128 << 10, ge=1024)
    max_tools: int = Field(default=64, ge=0)
    max_json_depth: int = Field(default=32, ge=4)
    max_queued_runs: int = Field(default=1000, ge=1)
    tenant_queue_share: float = Field(default=0.75, gt=0, le=1)
    """The largest part of the queue that one tenant may have; 1 is no limit. Local mode has no limit."""
    max_queue_age_seconds: float = Field(default=60.0, gt=0)
    max_runs_per_user: int = Field(default=100, ge=1)
    run_seconds: float = Field(default=600.0, gt=0)
    queue_seconds: float = Field(default=600.0, gt=0)
    interrupt_seconds: float = Field(default=86_400.0, gt=0)
    user_tokens_per_day: int | None = Field(default=None, ge=1)
    """Input and output tokens of a user's model calls per day (UTC)."""
    user_cost_per_day: Decimal | None = Field(default=None, gt=0, allow_inf_nan=False)
    """US dollars of a user's model calls per day (UTC)."""
    reserved_output_tokens: int = Field(default=4096, ge=1)
    """Longest answer that a budget assumes for a stage without ``max_tokens``."""
    user_stored_bytes: int = Field(default=10 << 30, ge=0)
    """Files, messages, shared state and notes of one user; 0 is no limit. Local mode has no limit."""
    tenant_stored_bytes: int = Field(default=0, ge=0)
    """The same for all users of a tenant."""


class RateSettings(SettingsSection):
    """How much a user and a tenant may do in a time; 0 is no limit. Local mode has no such limits."""

    user_requests_per_minute: int = Field(default=6000, ge=0)
    tenant_requests_per_minute: int = Field(default=0, ge=0)
    user_runs_per_minute: int = Field(default=600, ge=0)
    """Runs started. A repeat of a request starts none."""
    tenant_runs_per_minute: int = Field(default=0, ge=0)
    user_upload_bytes_per_hour: int = Field(default=4 << 30, ge=0)
    """Uploaded files, recordings, and inline data of messages."""
    tenant_upload_bytes_per_hour: int = Field(default=0, ge=0)
    user_streams: int = Field(default=500, ge=0)
    """Open event streams of a user, in one API process."""
    tenant_streams: int = Field(default=0, ge=0)


class ToolSettings(SettingsSection):
    """Built-in tools."""

    timeout_seconds: float = Field(default=60.0, gt=0)
    max_result_bytes: int = Field(default=256 << 10, ge=1024)
    """Maximum size of a tool result for the model."""
    max_event_bytes: int = Field(default=64 << 10, ge=1024)
    """Maximum size of a tool result for the client."""
    fetch_allow_hosts: tuple[str, ...] = ()
    """``host`` or ``host:port`` that ``fetch_url`` may reach even if its address is not public."""
    fetch_max_bytes: int = Field(default=2 << 20, ge=1024)
    fetch_timeout_seconds: float = Field(default=10.0, gt=0)


class Settings(BaseSettings):
    """Everything a process needs to know before it starts."""

    # Empty is unset: that is how Compose and a chart pass on what nobody has said.
    model_config = SettingsConfigDict(
        env_prefix="AGENT_", env_nested_delimiter="__", env_ignore_empty=True, extra="ignore", frozen=True
    )

    database: DatabaseSettings = DatabaseSettings()
    redis: RedisSettings = RedisSettings()
    model: ModelSettings = ModelSettings()
    transcription: TranscriptionSettings = TranscriptionSettings()
    files: FileSettings = FileSettings()
    secrets: SecretSettings = SecretSettings()
    identity: IdentitySettings = IdentitySettings()
    server: ServerSettings = ServerSettings()
    metrics: MetricsSettings = MetricsSettings()
    traces: TraceSettings = TraceSettings()
    stream: StreamSettings = StreamSettings()
    worker: WorkerSettings = WorkerSettings()
    limits: LimitSettings = LimitSettings()
    rates: RateSettings = RateSettings()
    schedules: ScheduleSettings = ScheduleSettings()
    tools: ToolSettings = ToolSettings()
    webhooks: WebhookSettings = WebhookSettings()
    profile_path: OptionalPath = None
    """Agent profile (TOML), or a folder with one for each agent. If absent, the bundled profile."""
    log_format: Literal["json", "console"] = "json"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    data_dir: OptionalPath = None
    """Where the embedded mode keeps its data."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take the arguments first, then the environment, with the secrets of files."""
        return init_settings, SecretFilesSource(settings_cls)


def unknown_variables(environ: dict[str, str] | None = None) -> list[str]:
    """List ``AGENT_*`` variables that no setting reads, so that a typing error is reported.

    pydantic-settings ignores unknown top-level names. An unknown name inside a section is an error already.
    """
    names = os.environ if environ is None else environ
    known = {name.upper() for name in Settings.model_fields}
    return sorted(
        name
        for name in names
        if name.upper().startswith("AGENT_")
        and name.upper().removeprefix("AGENT_").split("__")[0] not in known
    )
