"""The handbook of a bicycle shop: read once per worker, and searched for the user of each run.

Two ways to the same documents. ``search`` is for ``[knowledge]`` of a profile. ``create_agent`` and ``create_reader`` are
factories whose agents have AgentScope's own ``RAGMiddleware``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from agentscope.agent import Agent
from agentscope.middleware import RAGMiddleware
from agentscope.rag import (
    ApproxTokenChunker,
    KnowledgeBase,
    TextParser,
    VectorSearchResult,
)
from agentscope.tool import Toolkit
from memory_store import MemoryStore
from word_hashes import WordHashes

from agentroute.agents import AgentRun, lifespan

DOCUMENTS = Path(__file__).parent / "documents"
EVERYBODY = "everybody"
PUBLIC = ("handbook", "Returns, repairs and delivery.")
OWN = ("customer", "What the shop has agreed with this customer.")
LEAST_SCORE = 0.15


class Shelf:
    """All documents. A base is what one reader may see of them: the filter is part of it, and of each search."""

    def __init__(self) -> None:
        self._model = WordHashes()
        self._store = MemoryStore()

    def base(self, tenant: str, user: str = "") -> KnowledgeBase:
        """Return what a reader has; ``EVERYBODY`` is no tenant with users. Cheap: make one for each run."""
        name, description = OWN if user else PUBLIC
        return KnowledgeBase(
            name,
            description,
            self._model,
            self._store,
            collection="handbook",
            # Two members, not one text of both: a tenant or a user may have any character in its name.
            metadata_filter={"tenant": tenant, "user": user},
        )

    def bases(self, run: AgentRun) -> list[KnowledgeBase]:
        """Return what the user of a run may read. AgentScope's middleware knows no users: the bases do."""
        return [self.base(EVERYBODY), self.base(run.tenant, run.user)]


@lifespan
async def shelf() -> AsyncIterator[Shelf]:
    """Read the documents when the worker starts. A folder is for everybody, or for the user ``TENANT/USER``."""
    made = Shelf()
    parser, chunker = TextParser(), ApproxTokenChunker()
    for path in sorted(DOCUMENTS.rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        chunks = await chunker.chunk(await parser.parse(text, path.name))
        title = {"title": text.splitlines()[0].removeprefix("# ")}
        reader = path.parent.relative_to(DOCUMENTS).parts
        await made.base(*reader).insert_document(
            chunks, path.stem, document_metadata=title
        )
    yield made


async def search(query: str, run: AgentRun) -> list[VectorSearchResult]:
    """Find passages for a run. AgentRoute takes AgentScope's hits as they are."""
    found = [
        hit
        for base in run.resources.bases(run)
        for hit in await base.search([query], score_threshold=LEAST_SCORE)
    ]
    return sorted(found, key=lambda hit: -hit.score)


async def create_agent(run: AgentRun) -> Agent:
    """Make an agent that searches when it wants to, with the tool of AgentScope's middleware."""
    rag = RAGMiddleware(
        run.resources.bases(run),
        RAGMiddleware.Parameters(mode="agentic", score_threshold=LEAST_SCORE),
    )
    # An Agent does not ask its middlewares for tools.
    tools = Toolkit(tools=await rag.list_tools())
    return Agent(
        "shop",
        "You help the customers of a bicycle shop.",
        run.model,
        toolkit=run.toolkit(tools),
        state=run.state,
        middlewares=[rag, *run.middlewares],
    )


async def create_reader(run: AgentRun) -> Agent:
    """Make an agent that is given passages before its first model call of each message."""
    rag = RAGMiddleware(
        run.resources.bases(run),
        RAGMiddleware.Parameters(mode="static", score_threshold=LEAST_SCORE),
    )
    return Agent(
        "shop",
        "You help the customers of a bicycle shop.",
        run.model,
        toolkit=run.toolkit(),
        state=run.state,
        middlewares=[rag, *run.middlewares],
    )
