"""The agent profile: who the agent is, its stages, models, prompts, tools and limits, in one TOML file.

Read once when a process starts; a mistake stops the start with one line that
says where it is. No AgentScope here: the API process shows the profile too.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from core.agentscope.prompts.loader import PROMPT_VALUES, Prompt, PromptInvalid, load_prompt
from core.agentscope.runtime.model.prices import Price
from core.agentscope.runtime.model.quirks import QuirkChoice, parse_quirks
from core.agentscope.runtime.profile.access import AccessRules
from core.agentscope.runtime.profile.knowledge import Knowledge
from core.agentscope.runtime.profile.mcp_servers import McpServer
from core.agentscope.runtime.profile.middlewares import ProfileMiddleware
from core.agentscope.runtime.profile.profile_errors import ProfileInvalid, describe
from core.agentscope.runtime.profile.profile_paths import PathBeside
from core.agentscope.runtime.profile.skills import Skills
from core.agentscope.schemas.internal_events import CallStage, StageName
from core.agentscope.schemas.tool_name import TOOL_NAME
from core.agentscope.tools.spec import Permission

STAGES: tuple[StageName, ...] = ("intent", "execution", "report")

_BUNDLED = Path(__file__).with_name("default_profile.toml")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Stages(_Part):
    """Which stages a run goes through; execution always."""

    intent: Literal["off", "model"] = "off"
    """``model``: a call before the execution says whether the agent needs tools, and makes a plan. See docs/adr/0022."""
    report: Literal["auto", "always", "off"] = "auto"
    """``auto``: only when execution did not write the answer itself."""
    title: Literal["words", "model"] = "words"
    """A thread's first title: the first words, or a model call after the first run; not a stage a run waits for."""


def _known_quirks(names: tuple[str, ...]) -> tuple[str, ...]:
    parse_quirks(names)
    return names


Quirks = Annotated[tuple[str, ...], AfterValidator(_known_quirks)]
"""Names of what an endpoint refuses or wants; a minus before a name: never."""


class _Model(_Part):
    """A model of an endpoint."""

    quirks: Quirks = ()
    """What the endpoint refuses or wants of this model. Most is learnt from its refusals; docs/models.md has the names."""

    def quirk_choice(self) -> QuirkChoice:
        """Return the quirks as the model takes them."""
        return parse_quirks(self.quirks)


class FallbackModel(_Model):
    """The model that is asked when a stage's own cannot be reached, is too busy or fails before its first word."""

    name: str = Field(min_length=1)
    base_url: str | None = Field(default=None, min_length=1)
    """Of another OpenAI-compatible endpoint; the deployment's when absent."""
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Environment variable that holds the key. Another endpoint never gets the deployment's."""
    provider: str | None = Field(default=None, min_length=1)
    """Name shown in usage; the host of the URL when absent."""


class StageModel(_Model):
    """The model of one stage; what is absent is the deployment's or the provider's default."""

    name: str | None = Field(default=None, min_length=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, gt=0)
    """Longest answer, reasoning included."""
    fallback: FallbackModel | None = None


class StageModels(_Part):
    """A model for each stage, and for titles."""

    intent: StageModel = StageModel()
    execution: StageModel = StageModel()
    report: StageModel = StageModel()
    title: StageModel = StageModel()


class PromptPaths(_Part):
    """Prompt files that replace the bundled ones; relative to the profile's directory."""

    intent: PathBeside | None = None
    execution: PathBeside | None = None
    report: PathBeside | None = None


class ProfileTool(_Part):
    """One tool of the agent: a built-in one, or an attribute of a user's module."""

    name: str | None = Field(default=None, min_length=1)
    reference: str | None = Field(default=None, alias="import", min_length=3)
    """``package.module:attribute``, written as ``import`` in the file."""
    permission: Permission

    @model_validator(mode="after")
    def _is_one_tool(self) -> ProfileTool:
        if (self.name is None) == (self.reference is None):
            raise ValueError('set either name = "a built-in tool" or import = "package.module:attribute"')
        return self


class Subagent(_Part):
    """A child agent that the agent hands a task to, as a tool of its name."""

    name: str = Field(pattern=f"^{TOOL_NAME}$")
    description: str = Field(min_length=1, max_length=1000)
    """For the model: which tasks it is good at."""
    prompt: str = Field(min_length=1, max_length=20_000)
    """Its system prompt, as it is."""
    tools: tuple[str, ...] = ()
    """Names of the profile's tools it may use; only those with permission "allow"."""
    max_iterations: int = Field(default=10, ge=1, le=100)


class AgentCode(_Part):
    """Code of a user that takes the place of the agent that the profile describes."""

    factory: str | None = Field(default=None, min_length=3)
    """``package.module:function``: makes the agent of each run, an ``agentscope.agent.Agent``. Imported by workers only."""
    runner: str | None = Field(default=None, min_length=3)
    """``package.module:function``: a whole run, for code that is no single agent. Imported by workers only."""

    @model_validator(mode="after")
    def _is_one(self) -> AgentCode:
        if self.factory is not None and self.runner is not None:
            raise ValueError(
                "factory and runner are both set: keep the one that the function is; see docs/agents.md"
            )
        return self

    @property
    def reference(self) -> str | None:
        """The code that takes the agent's place; ``None`` for the agent of the profile."""
        return self.factory or self.runner


class Limits(_Part):
    """What one run may use; over an allowance of steps it ends with ``max-iterations``, of money with ``budget-exhausted``."""

    max_iterations: int = Field(default=25, ge=1, le=200)
    """Model calls of the execution stage. One more call, without tools, then sums up."""
    max_tool_calls: int = Field(default=50, ge=0, le=1000)
    max_tokens: int | None = Field(default=None, ge=1)
    """Tokens of all model calls, in and out; no limit when absent."""
    max_cost: Price | None = None
    """US dollars, as text; no limit when absent."""
    when_exhausted: Literal["end", "ask"] = "end"
    """``ask``: a run that has spent its tokens or its money asks the user whether to go on with as much again."""


class Context(_Part):
    """What of a long conversation the model sees."""

    trigger_ratio: float = Field(default=0.7, ge=0.1, le=0.9)
    """Share of the context size at which older messages are summarised."""
    tool_result_tokens: int = Field(default=8000, ge=100)
    """Longest tool result kept in the context."""


class AgentProfile(_Part):
    """An agent, as its file describes it."""

    name: str = Field(min_length=1, max_length=64)
    description: str = Field(min_length=1, max_length=1000)
    greeting: str | None = None
    """What a chat page may say before the first message."""
    suggestions: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(
        default=(), max_length=6
    )
    """First messages that a chat page may offer."""
    default: bool = False
    """Of several agents, the one of requests that name none."""
    access: AccessRules | None = None
    """Who may use the agent, such as ``group:sales``; everybody when absent."""
    agent: AgentCode = AgentCode()
    stages: Stages = Stages()
    models: StageModels = StageModels()
    prompts: PromptPaths = PromptPaths()
    tools: tuple[ProfileTool, ...] = ()
    mcp: tuple[McpServer, ...] = ()
    """Servers whose tools the agent has as well."""
    knowledge: Knowledge | None = None
    """A search function of the user's; the agent has none when absent."""
    middlewares: tuple[ProfileMiddleware, ...] = ()
    """Around the agent, the first is the outermost."""
    skills: Skills = Skills()
    subagents: tuple[Subagent, ...] = ()
    limits: Limits = Limits()
    context: Context = Context()

    @model_validator(mode="after")
    def _tools_differ(self) -> AgentProfile:
        seen: set[str] = set()
        for tool in self.tools:
            key = tool.name or tool.reference or ""
            if key in seen:
                raise ValueError(f"tools: {key} is listed twice")
            seen.add(key)
        return self

    @model_validator(mode="after")
    def _servers_differ(self) -> AgentProfile:
        names = [server.name for server in self.mcp]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"mcp: {name} is listed twice")
        return self

    @model_validator(mode="after")
    def _parts_have_an_agent(self) -> AgentProfile:
        """Otherwise they would be without effect, and nothing would say so."""
        if self.agent.runner is not None:
            for part, given in (("middlewares", self.middlewares), ("skills.paths", self.skills.paths)):
                if given:
                    raise ValueError(
                        f"{part}: a runner makes its own agents, so this has no effect: "
                        + "remove it and give the agents of the runner what they need, or use agent.factory"
                    )
        return self

    @model_validator(mode="after")
    def _intent_is_decided(self) -> AgentProfile:
        """Otherwise a model or a prompt of the intent stage would be without effect, and nothing would say so."""
        for part, chosen in (("models", self.models), ("prompts", self.prompts)):
            if "intent" in chosen.model_fields_set and "intent" not in self.stages.model_fields_set:
                raise ValueError(
                    f'{part}.intent is set, but stages.intent is not: set stages.intent = "model" to use it, or "off"'
                )
        return self

    def model_of(self, stage: CallStage, default_name: str) -> StageModel:
        """Return a stage's model with its name filled in from the deployment's where it has none."""
        model: StageModel = getattr(self.models, stage)
        return model if model.name else model.model_copy(update={"name": default_name})

    @property
    def report_mode(self) -> Literal["auto", "always", "off"]:
        """When the report stage runs. Off for a user's own code, unless the profile says otherwise: it ends by itself."""
        if self.agent.reference is not None and "report" not in self.stages.model_fields_set:
            return "off"
        return self.stages.report

    def runs(self, stage: StageName) -> bool:
        """Return whether runs may go through a stage."""
        return getattr(self.stages, stage, "always") != "off"

    def prompt_of(self, stage: StageName) -> Prompt:
        """Load a stage's prompt, the user's own or the bundled one. Load once and share it.

        Raises:
            PromptInvalid: The file cannot be used.
        """
        path: Path | None = getattr(self.prompts, stage)
        return load_prompt(path or stage, values=PROMPT_VALUES[stage])


def load_profile(path: Path | None = None) -> AgentProfile:
    """Read a profile and check all that can be checked without running it: keys, values and prompt files.

    Args:
        path: The file; the bundled profile when absent.

    Raises:
        ProfileInvalid: In one line, the file, the key, and what is allowed there.
    """
    source = path or _BUNDLED
    try:
        with source.open("rb") as file:
            content = tomllib.load(file)
    except OSError as exc:
        raise ProfileInvalid(f"{source}: cannot be read ({exc.strerror}); see AGENT_PROFILE_PATH") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ProfileInvalid(f"{source}: not TOML: {exc}") from exc
    try:
        profile = AgentProfile.model_validate(content, context={"directory": source.parent})
    except ValidationError as exc:
        raise ProfileInvalid(f"{source}: {describe(exc, AgentProfile)}") from exc
    for stage in STAGES:
        try:
            profile.prompt_of(stage)
        except PromptInvalid as exc:
            raise ProfileInvalid(f"{source}: prompts.{stage}: {exc}") from exc
    return profile
