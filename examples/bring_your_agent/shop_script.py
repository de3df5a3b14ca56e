"""A shop assistant as an AgentScope script: it talks in the terminal, and asks before it cancels an order."""

import asyncio
import os

from agentscope.agent import Agent
from agentscope.credential import OpenAICredential
from agentscope.event import (
    ConfirmResult,
    RequireUserConfirmEvent,
    TextBlockDeltaEvent,
    UserConfirmResultEvent,
)
from agentscope.message import UserMsg
from agentscope.model import OpenAIChatModel
from agentscope.permission import PermissionBehavior, PermissionDecision
from agentscope.tool import FunctionTool, Toolkit

ORDERS = {"7": "two shoes, not sent yet", "8": "a hat, on its way"}
MODEL = OpenAIChatModel(
    OpenAICredential(api_key=os.environ["OPENAI_API_KEY"], base_url=os.environ.get("OPENAI_BASE_URL")),
    os.environ.get("OPENAI_MODEL", "gpt-4o-mini"),
)
READS = PermissionDecision(PermissionBehavior.ALLOW, "it only reads")


def find_order(order_id: str) -> str:
    """Find an order by its number."""
    return f"Order {order_id}: {ORDERS.get(order_id, 'not known')}."


def cancel_order(order_id: str) -> str:
    """Cancel an order by its number."""
    return (
        f"Order {order_id} is cancelled." if ORDERS.pop(order_id, None) else f"There is no order {order_id}."
    )


async def translate(text: str, language: str) -> str:
    """Let another agent translate a text."""
    prompt = f"Translate into {language}. Answer with the translation alone."
    answer = await Agent("translator", prompt, MODEL).reply(UserMsg("shop", text))
    return answer.get_text_content()


def create_agent() -> Agent:
    return Agent(
        name="shop",
        system_prompt="You help customers of a shoe shop.",
        model=MODEL,
        toolkit=Toolkit(
            tools=[
                FunctionTool(find_order, permission=READS),
                FunctionTool(translate, permission=READS),
                FunctionTool(cancel_order),
            ]
        ),
    )


async def talk(agent: Agent, said) -> None:
    question = None
    async for event in agent.reply_stream(said):
        if isinstance(event, TextBlockDeltaEvent):
            print(event.delta, end="", flush=True)
        elif isinstance(event, RequireUserConfirmEvent):
            question = event
    print()
    if question:
        calls = [(call, input(f"{call.name} {call.input}? [y/n] ") == "y") for call in question.tool_calls]
        results = [ConfirmResult(confirmed=yes, tool_call=call) for call, yes in calls]
        await talk(agent, UserConfirmResultEvent(reply_id=question.reply_id, confirm_results=results))


async def main() -> None:
    agent = create_agent()
    while said := input("you: "):
        await talk(agent, UserMsg("user", said))


if __name__ == "__main__":
    asyncio.run(main())
