"""A vector store for the example, in memory. AgentScope has stores for Qdrant, Milvus, Elasticsearch and MongoDB."""

from __future__ import annotations

from typing import Any

from agentscope.rag import (
    DocumentSummary,
    VectorRecord,
    VectorSearchResult,
    VectorStoreBase,
)


class MemoryStore(VectorStoreBase):
    """Keeps the records of each collection in a list, and compares all of them."""

    def __init__(self) -> None:
        self._records: dict[str, list[VectorRecord]] = {}

    async def create_collection(self, name: str, dimensions: int) -> None:
        self._records.setdefault(name, [])

    async def delete_collection(self, name: str) -> None:
        self._records.pop(name, None)

    async def has_collection(self, name: str) -> bool:
        return name in self._records

    async def insert(self, collection: str, records: list[VectorRecord]) -> None:
        self._records[collection] += records

    async def delete(self, collection: str, document_id: str) -> None:
        kept = [
            record
            for record in self._records[collection]
            if record.document_id != document_id
        ]
        self._records[collection] = kept

    async def search(
        self,
        collection: str,
        query_vector: list[float],
        top_k: int = 5,
        metadata_filter: dict[str, Any] | None = None,
    ) -> list[VectorSearchResult]:
        hits = [
            VectorSearchResult(
                score=sum(
                    a * b for a, b in zip(record.vector, query_vector, strict=True)
                ),
                document_id=record.document_id,
                chunk=record.chunk,
            )
            for record in self._matching(collection, metadata_filter)
        ]
        return sorted(hits, key=lambda hit: -hit.score)[:top_k]

    async def list_documents(
        self, collection: str, metadata_filter: dict[str, Any] | None = None
    ) -> list[DocumentSummary]:
        found = {
            record.document_id: record.chunk
            for record in self._matching(collection, metadata_filter)
        }
        return [
            DocumentSummary(
                document_id=name, source=chunk.source, chunk_count=chunk.total_chunks
            )
            for name, chunk in found.items()
        ]

    def _matching(
        self, collection: str, metadata_filter: dict[str, Any] | None
    ) -> list[VectorRecord]:
        wanted = (metadata_filter or {}).items()
        return [
            record
            for record in self._records[collection]
            if wanted <= record.chunk.metadata.items()
        ]
