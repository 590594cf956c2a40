"""Embeddings of OpenAI, Gemini, Cohere and Ollama: texts in, deterministic unit vectors out."""

import base64
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from dspex_testkit.mock_lm.embedder import MockEmbedder
from dspex_testkit.mock_lm.usage import count_tokens
from dspex_testkit.wires.failures import refuse
from dspex_testkit.wires.fields import object_of, objects

Vector = list[float]
EmbeddingWire = Callable[[Mapping[str, Any], Mapping[str, str]], tuple[str, list[str], dict[str, Any]]]
"""Model, texts and the whole answer to a body and what its URL says."""

_DIMENSIONS = 128


def embed(texts: Sequence[str], dimensions: int) -> list[Vector]:
    """The vectors that `MockEmbedder` gives for these texts in the program's own process."""
    vectors: list[Vector] = _embedder(dimensions)(list(texts)).tolist()
    return vectors


@lru_cache(maxsize=16)
def _embedder(dimensions: int) -> MockEmbedder:
    return MockEmbedder(dimensions)


def openai_embeddings(body: Mapping[str, Any], path: Mapping[str, str]) -> tuple[str, list[str], dict[str, Any]]:
    """`POST …/embeddings`."""
    model, texts = str(body.get("model")), _texts(body.get("input"), "input")
    dimensions = _size(body.get("dimensions"))
    as_text = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _base64(vector) if as_text else vector}
        for index, vector in enumerate(embed(texts, dimensions))
    ]
    tokens = _tokens(texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return model, texts, {"object": "list", "data": data, "model": model, "usage": usage}


def gemini_embeddings(body: Mapping[str, Any], path: Mapping[str, str]) -> tuple[str, list[str], dict[str, Any]]:
    """`POST …/models/MODEL:batchEmbedContents` and `:embedContent`."""
    single = path["action"] == "embedContent"
    requests = [body] if single else objects(body, "requests", required=True)
    texts = ["\n".join(str(p.get("text")) for p in objects(object_of(r, "content"), "parts")) for r in requests]
    vectors = [
        {"values": embed([text], _size(request.get("outputDimensionality")))[0]}
        for text, request in zip(texts, requests, strict=True)
    ]
    return path["model"], texts, {"embedding": vectors[0]} if single else {"embeddings": vectors}


def cohere_embeddings(body: Mapping[str, Any], path: Mapping[str, str]) -> tuple[str, list[str], dict[str, Any]]:
    """`POST …/v2/embed` and `…/v1/embed`."""
    model, texts = str(body.get("model")), _texts(body.get("texts"), "texts")
    vectors = embed(texts, _size(body.get("output_dimension")))
    tokens = _tokens(texts)
    typed = bool(body.get("embedding_types")) or path["version"] == "v2"
    return (
        model,
        texts,
        {
            "id": "sim",
            "texts": texts,
            "embeddings": {"float": vectors} if typed else vectors,
            "response_type": "embeddings_by_type" if typed else "embeddings_floats",
            "meta": {"api_version": {"version": path["version"][1:]}, "billed_units": {"input_tokens": tokens}},
        },
    )


def ollama_embeddings(body: Mapping[str, Any], path: Mapping[str, str]) -> tuple[str, list[str], dict[str, Any]]:
    """`POST …/api/embed` and the older `…/api/embeddings`."""
    model = str(body.get("model"))
    if path["action"] == "embeddings":
        texts = _texts(body.get("prompt"), "prompt")
        return model, texts, {"embedding": embed(texts, _DIMENSIONS)[0]}
    texts = _texts(body.get("input"), "input")
    return (
        model,
        texts,
        {
            "model": model,
            "embeddings": embed(texts, _DIMENSIONS),
            "total_duration": 1,
            "load_duration": 1,
            "prompt_eval_count": _tokens(texts),
        },
    )


def _texts(given: Any, where: str) -> list[str]:
    if isinstance(given, str):
        return [given]
    if isinstance(given, list) and given and all(isinstance(text, str) for text in given):
        return given
    raise refuse("invalid_request", f"{where}: a text or a list of texts is wanted; tokens are not simulated.")


def _size(given: Any) -> int:
    fits = isinstance(given, int) and not isinstance(given, bool) and 0 < given <= 4096
    return given if fits else _DIMENSIONS


def _tokens(texts: Sequence[str]) -> int:
    return sum(count_tokens(len(text)) for text in texts)


def _base64(vector: Vector) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
