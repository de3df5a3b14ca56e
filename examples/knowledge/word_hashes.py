"""An embedding model for the example, without a provider: it finds the same words, not the same meaning."""

from __future__ import annotations

import math
import re
from typing import Any
from zlib import crc32

from agentscope.credential import CredentialBase
from agentscope.embedding import EmbeddingModelBase, EmbeddingResponse
from agentscope.message import TextBlock

COMMON = set(
    re.findall(
        r"\w+",
        "a an and are be can do for from have how i if in is it may my not of on or the to we what you your",
    )
)


class WordHashes(EmbeddingModelBase[str | TextBlock]):
    """Counts words, each in one of 1,024 places. For a real shelf take ``agentscope.embedding.OpenAIEmbeddingModel``."""

    def __init__(self) -> None:
        super().__init__(
            credential=CredentialBase(),
            model="word-hashes",
            dimensions=1024,
            parameters=None,
            context_size=8192,
            batch_size=64,
            max_retries=0,
            retry_delay=0,
        )

    async def _call_api(self, inputs: list[Any], **kwargs: Any) -> EmbeddingResponse:
        return EmbeddingResponse(embeddings=[self.vector(text) for text in inputs])

    def vector(self, text: str) -> list[float]:
        """Return the counts of a text's words, as a vector of length 1."""
        counts = [0.0] * self.dimensions
        for word in re.findall(r"\w+", text.lower()):
            if word not in COMMON:
                counts[crc32(word.removesuffix("s").encode()) % self.dimensions] += 1
        length = math.sqrt(sum(count * count for count in counts)) or 1.0
        return [count / length for count in counts]
