"""A vector store in memory: AgentScope's own need a server, or a package that is not installed here."""

from __future__ import annotations

import math
from typing import Any

from agentscope.rag import DocumentSummary, VectorRecord, VectorSearchResult, VectorStoreBase


class MemoryStore(VectorStoreBase):
    """Finds by cosine similarity."""

    def __init__(self) -> None:
        self._collections: dict[str, list[VectorRecord]] = {}

    async def create_collection(self, name: str, dimensions: int) -> None:
        self._collections[name] = []

    async def delete_collection(self, name: str) -> None:
        del self._collections[name]

    async def has_collection(self, name: str) -> bool:
        return name in self._collections

    async def insert(self, collection: str, records: list[VectorRecord]) -> None:
        self._collections[collection] += records

    async def delete(self, collection: str, document_id: str) -> None:
        kept = [record for record in self._collections[collection] if record.document_id != document_id]
        self._collections[collection] = kept

    async def search(
        self,
        collection: str,
        query_vector: list[float],
        top_k: int = 5,
        metadata_filter: dict[str, Any] | None = None,
    ) -> list[VectorSearchResult]:
        found = [
            VectorSearchResult(
                score=_cosine(record.vector, query_vector),
                document_id=record.document_id,
                chunk=record.chunk,
            )
            for record in self._collections[collection]
        ]
        return sorted(found, key=lambda result: -result.score)[:top_k]

    async def list_documents(
        self, collection: str, metadata_filter: dict[str, Any] | None = None
    ) -> list[DocumentSummary]:
        return []


def _cosine(one: list[float], other: list[float]) -> float:
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product / (math.hypot(*one) * math.hypot(*other) or 1.0)
