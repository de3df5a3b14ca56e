"""What clients are told the agent can do."""

from __future__ import annotations

from ag_ui.core import AgentCapabilities

from v1.agent.capabilities import agent_capabilities


def test_subagents_and_the_greeting_are_told() -> None:
    told = agent_capabilities(
        name="Ada",
        version="1",
        greeting="Hello!",
        suggestions=("What is 6*7?",),
        subagents=[{"name": "researcher", "description": "Looks things up."}],
    )

    assert AgentCapabilities.model_validate(told)
    assert told["multiAgent"] == {"supported": True, "delegation": True, "handoffs": False}
    assert told["custom"]["subagents"] == [{"name": "researcher", "description": "Looks things up."}]
    assert told["custom"]["greeting"] == "Hello!"
    assert told["custom"]["suggestions"] == ["What is 6*7?"]


def test_an_agent_without_them_says_so() -> None:
    told = agent_capabilities(name="Ada", version="1")

    assert told["multiAgent"]["supported"] is False
    assert told["custom"]["subagents"] == []
    assert not {"greeting", "suggestions"} & told["custom"].keys()


def test_the_limits_of_uploads_and_of_speech_are_told() -> None:
    told = agent_capabilities(name="Ada", version="1", max_file_bytes=1024, max_speech_seconds=600)

    assert told["custom"]["files"] == {"maxBytes": 1024}
    assert told["custom"]["transcription"] == {"maxSeconds": 600}
    without = agent_capabilities(name="Ada", version="1")["custom"]
    assert not {"files", "transcription"} & without.keys()
