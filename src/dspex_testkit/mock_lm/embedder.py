"""An embedder without a provider: the same text always has the same vector, and similar texts have near ones."""

import re
from hashlib import blake2b
from typing import Any

import dspy
import numpy as np

_WORD = re.compile(r"\w+")


class MockEmbedder(dspy.Embedder):  # type: ignore[misc]
    """A `dspy.Embedder` for `dspy.KNN`, `KNNFewShot`, `dspy.retrievers.Embeddings` and the like.

    A text's vector is the normalized sum of its words' and their three-letter pieces' vectors, so texts that share
    words are near. It is the same in every process and on every machine.

    Args:
        dimensions: Length of the vectors.
        seed: Another seed, other vectors.
    """

    def __init__(self, dimensions: int = 128, *, seed: int | str = 0) -> None:
        if dimensions < 1:
            raise ValueError(f"dimensions must be at least 1, not {dimensions}")
        self.dimensions = dimensions
        self.seed = seed
        super().__init__(self._embed, batch_size=200, caching=False)

    def _embed(self, texts: list[str], **_: Any) -> Any:
        return np.stack([self._vector(text) for text in texts])

    def _vector(self, text: str) -> Any:
        vector = np.zeros(self.dimensions, dtype=np.float32)
        for word in _WORD.findall(text.casefold()):
            self._add(vector, word, 1.0)
            padded = f" {word} "
            for i in range(len(padded) - 2):
                self._add(vector, padded[i : i + 3], 0.3)
        length = float(np.linalg.norm(vector))
        if length == 0.0:
            # A text without words: a direction of its own.
            self._add(vector, text or " ", 1.0)
            length = 1.0
        return vector / length

    def _add(self, vector: Any, feature: str, weight: float) -> None:
        digest = blake2b(f"{self.seed}\x1f{feature}".encode("utf-8", "surrogatepass"), digest_size=9).digest()
        sign = 1.0 if digest[8] & 1 else -1.0
        vector[int.from_bytes(digest[:8]) % self.dimensions] += sign * weight
