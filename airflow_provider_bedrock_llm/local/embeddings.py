"""InvokeModel for embedding models: Titan v1 and v2, Cohere v3 and v4, Nova, each in its own shape.

The vectors are sums of hashed words: repeatable, and texts that share words are near each other. No model.
"""

from __future__ import annotations

import hashlib
import math
import re
from typing import TYPE_CHECKING, Any

from .token_count import count_text
from .wire_errors import Refused, preset, validation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .models import LocalModel

__all__ = ["embed", "vector_of"]

_TITAN_V2_SIZES = (256, 512, 1024)
_COHERE_V4_SIZES = (256, 512, 1024, 1536)
_NOVA_SIZES = (256, 384, 1024, 3072)
_COHERE_TEXTS = 96
_COHERE_INPUTS = ("search_document", "search_query", "classification", "clustering", "image")
_PLACES_A_WORD = 8
_WORD = re.compile(r"\w+")


def embed(model: LocalModel, body: Any) -> tuple[dict[str, Any], int]:
    """The reply's body and the input tokens; Refused for a body that the model would refuse."""
    if not isinstance(body, dict):
        raise _malformed("#", "expected type: JSONObject")
    makers = {
        "titan_v1": _titan_v1,
        "titan_v2": _titan_v2,
        "cohere_v3": _cohere_v3,
        "cohere_v4": _cohere_v4,
        "nova": _nova,
    }
    return makers[model.embedding](model, body)


def vector_of(text: str, size: int, *, normalize: bool = True) -> list[float]:
    """The vector of a text."""
    vector = [0.0] * size
    for word in _WORD.findall(text.lower()) or [text]:
        digest = hashlib.sha256(word.encode()).digest()
        for place in range(_PLACES_A_WORD):
            number = int.from_bytes(digest[place * 4 : place * 4 + 4], "big")
            vector[(number >> 1) % size] += 1.0 if number & 1 else -1.0
    if not normalize:
        return vector
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [value / length for value in vector]


def _titan_v1(model: LocalModel, body: dict[str, Any]) -> tuple[dict[str, Any], int]:
    _only(body, "inputText")
    tokens = _tokens(model, _text(body, "inputText"))
    return {"embedding": vector_of(body["inputText"], 1536), "inputTextTokenCount": tokens}, tokens


def _titan_v2(model: LocalModel, body: dict[str, Any]) -> tuple[dict[str, Any], int]:
    _only(body, "inputText", "dimensions", "normalize", "embeddingTypes")
    text = _text(body, "inputText")
    size = _one_of(body, "dimensions", _TITAN_V2_SIZES, 1024)
    tokens = _tokens(model, text)
    vector = vector_of(text, size, normalize=body.get("normalize", True) is not False)
    kinds = body.get("embeddingTypes") or ["float"]
    typed: dict[str, Any] = {kind: vector if kind == "float" else _signs(vector) for kind in kinds}
    reply = {"embeddingsByType": typed, "inputTextTokenCount": tokens}
    return ({"embedding": vector, **reply} if "float" in kinds else reply), tokens


def _cohere_v3(model: LocalModel, body: dict[str, Any]) -> tuple[dict[str, Any], int]:
    _only(body, "texts", "input_type", "truncate", "embedding_types", "images")
    texts = _cohere_texts(body)
    tokens = sum(_tokens(model, text, cut=body.get("truncate", "NONE") != "NONE") for text in texts)
    vectors = [vector_of(text, 1024) for text in texts]
    head = {"id": _identifier(texts), "texts": texts}
    if body.get("embedding_types"):
        return {**head, "embeddings": _by_type(body, vectors), "response_type": "embeddings_by_type"}, tokens
    return {**head, "embeddings": vectors, "response_type": "embeddings_floats"}, tokens


def _cohere_v4(model: LocalModel, body: dict[str, Any]) -> tuple[dict[str, Any], int]:
    _only(
        body, "texts", "input_type", "truncate", "embedding_types", "images", "inputs", "output_dimension", "max_tokens"
    )
    texts = _cohere_texts(body)
    size = _one_of(body, "output_dimension", _COHERE_V4_SIZES, 1536)
    tokens = sum(_tokens(model, text, cut=body.get("truncate", "END") != "NONE") for text in texts)
    vectors = [vector_of(text, size) for text in texts]
    reply = {
        "id": _identifier(texts),
        "texts": texts,
        "embeddings": _by_type(body, vectors),
        "response_type": "embeddings_by_type",
    }
    return reply, tokens


def _nova(model: LocalModel, body: dict[str, Any]) -> tuple[dict[str, Any], int]:
    _only(body, "taskType", "singleEmbeddingParams", "schemaVersion")
    if body.get("taskType") != "SINGLE_EMBEDDING":
        raise _malformed("#/taskType", f"{body.get('taskType')} is not a valid enum value")
    params = body.get("singleEmbeddingParams")
    if not isinstance(params, dict) or "embeddingPurpose" not in params:
        raise _malformed("#/singleEmbeddingParams", "required key [embeddingPurpose] not found")
    text = params.get("text")
    if not isinstance(text, dict) or not isinstance(text.get("value"), str) or "truncationMode" not in text:
        raise _malformed("#/singleEmbeddingParams/text", "required key [value] or [truncationMode] not found")
    size = _one_of(params, "embeddingDimension", _NOVA_SIZES, 3072)
    tokens = _tokens(model, text["value"], cut=text["truncationMode"] != "NONE")
    return {"embeddings": [{"embeddingType": "TEXT", "embedding": vector_of(text["value"], size)}]}, tokens


def _cohere_texts(body: Mapping[str, Any]) -> list[str]:
    texts = body.get("texts")
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise _malformed("#", "required key [texts] not found")
    if len(texts) > _COHERE_TEXTS:
        raise _malformed("#/texts", f"expected maximum item count: {_COHERE_TEXTS}, found: {len(texts)}")
    if body.get("input_type") not in _COHERE_INPUTS:
        raise _malformed("#/input_type", f"{body.get('input_type')} is not a valid enum value")
    return list(texts)


def _by_type(body: Mapping[str, Any], vectors: list[list[float]]) -> dict[str, Any]:
    kinds = body.get("embedding_types") or ["float"]
    return {kind: vectors if kind == "float" else [_signs(one) for one in vectors] for kind in kinds}


def _signs(vector: list[float]) -> list[int]:
    return [int(value > 0) for value in vector]


def _identifier(texts: list[str]) -> str:
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-a{digest[17:20]}-{digest[20:32]}"


def _text(body: Mapping[str, Any], key: str) -> str:
    text = body.get(key)
    if not isinstance(text, str):
        raise _malformed("#", f"required key [{key}] not found")
    if not text:
        raise _malformed(f"#/{key}", "expected minLength: 1, actual: 0")
    return text


def _one_of(body: Mapping[str, Any], key: str, sizes: tuple[int, ...], default: int) -> int:
    size = body.get(key, default)
    if size not in sizes:
        raise _malformed(f"#/{key}", f"{size} is not a valid enum value")
    return int(size)


def _only(body: Mapping[str, Any], *known: str) -> None:
    for key in body:
        if key not in known:
            raise _malformed("#", f"extraneous key [{key}] is not permitted")


def _malformed(pointer: str, problem: str) -> Refused:
    return validation(f"Malformed input request: {pointer}: {problem}, please reformat your input and try again.")


def _tokens(model: LocalModel, text: str, *, cut: bool = False) -> int:
    tokens = count_text(text)
    if tokens <= model.context_window_tokens:
        return tokens
    if cut:
        return model.context_window_tokens
    if model.embedding.startswith("titan"):
        limit = model.context_window_tokens
        raise validation(
            f"400 Bad Request: Too many input tokens. Max input tokens: {limit}, request input token count: {tokens} "
        )
    raise Refused(preset("input_too_long"))
