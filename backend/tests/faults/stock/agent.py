"""An agent in the shape of AgentScope's own examples: nothing in it but the factory's signature knows of AgentRoute.

It has a model and an embedding model of AgentScope's, a knowledge base behind ``RAGMiddleware``, a toolkit with a skill,
and a subagent inside a tool.
"""

from __future__ import annotations

import os
from pathlib import Path

from agentscope.agent import Agent
from agentscope.credential import OpenAICredential
from agentscope.embedding import OpenAIEmbeddingModel
from agentscope.message import TextBlock, UserMsg
from agentscope.middleware import RAGMiddleware
from agentscope.model import OpenAIChatModel
from agentscope.permission import PermissionBehavior, PermissionDecision
from agentscope.rag import ApproxTokenChunker, KnowledgeBase, TextParser
from agentscope.tool import FunctionTool, ToolBase, ToolChunk, Toolkit
from pydantic import SecretStr
from tests.faults.effects import charged
from tests.faults.stock.memory_store import MemoryStore

from agentroute.agents import AgentRun

KNOWLEDGE = {
    "invoices.md": b"# Invoices\n\nInvoices above 1,000 euros need the approval of a person.\n",
    "refunds.md": b"# Refunds\n\nA refund is paid within 14 days.\n",
}


async def index_knowledge(knowledge: KnowledgeBase) -> None:
    parser = TextParser()
    chunker = ApproxTokenChunker(chunk_size=256, overlap=32)
    for filename, content in KNOWLEDGE.items():
        sections = await parser.parse(file=content, filename=filename)
        await knowledge.insert_document(await chunker.chunk(sections))


async def create_agent(run: AgentRun) -> Agent:
    credential = OpenAICredential(
        api_key=SecretStr(os.environ["OPENAI_API_KEY"]), base_url=os.environ["OPENAI_BASE_URL"]
    )
    model = OpenAIChatModel(credential=credential, model="stock-main")
    knowledge = KnowledgeBase(
        name="policies",
        description="The policies of the company.",
        embedding_model=OpenAIEmbeddingModel(credential, "stock-embedding", dimensions=4),
        vector_store=MemoryStore(),
        collection="policies",
    )
    await index_knowledge(knowledge)

    async def ask_expert(note: str) -> ToolChunk:
        """Ask an expert.

        Args:
            note (str): What to look at.
        """
        expert = Agent(name="expert", system_prompt="You know all about invoices.", model=model)
        answer = await expert.reply(UserMsg(name="user", content=note))
        return ToolChunk(content=[TextBlock(text=answer.get_text_content() or "")])

    def pay_invoice(note: str) -> ToolChunk:
        """Pay an invoice.

        Args:
            note (str): Which one.
        """
        return ToolChunk(content=[TextBlock(text=charged(note))])

    may_ask = PermissionDecision(PermissionBehavior.ALLOW, "it only reads")
    tools: list[ToolBase] = [FunctionTool(ask_expert, permission=may_ask), FunctionTool(pay_invoice)]
    return Agent(
        name="clerk",
        system_prompt="You pay invoices.",
        model=model,
        toolkit=Toolkit(tools=tools, skills_or_loaders=[str(Path(__file__).parent / "skills" / "invoices")]),
        middlewares=[RAGMiddleware([knowledge], parameters=RAGMiddleware.Parameters(mode="static", top_k=1))],
    )
