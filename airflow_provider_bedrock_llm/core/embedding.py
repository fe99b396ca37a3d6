"""Embeddings: texts go in, vectors come out, in one shape for every family of models.

Converse takes no embedding model, and InvokeModel wants another body for each family. So an embedding is asked as a
request whose text blocks are the texts and whose `additionalModelRequestFields` are the settings; `EmbeddingDialect`
says it in the family's words and reads the reply. The engine, its routes, faults and limits do not see a difference.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.embedding_family import EmbeddingSettings
from airflow_provider_bedrock_llm.core.errors import RequestValidationError
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
from airflow_provider_bedrock_llm.core.transport import Failure, FailureKind, Reply, WireRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_bedrock_llm.core.embedding_family import EmbeddingFamily
    from airflow_provider_bedrock_llm.core.response import BedrockResponse, RequestAttempt

__all__ = [
    "EmbeddingDialect",
    "EmbeddingResponse",
    "embedding_requests",
    "join_responses",
]

_TOKENS_HEADER = "x-amzn-bedrock-input-token-count"


def embedding_requests(
    texts: Sequence[str], settings: EmbeddingSettings, max_texts: int
) -> list[BedrockConverseRequest]:
    """Put texts into as few requests as the family allows, in order.

    Raises:
        RequestValidationError: a text is empty or none; models refuse it, and with it the whole call.
    """
    for index, text in enumerate(texts):
        if fault := _fault_of(text):
            raise RequestValidationError(f"texts[{index}] is {fault}, and only a text has an embedding. Leave it out.")
    return [
        BedrockConverseRequest(
            messages=[{"role": "user", "content": [{"text": text} for text in texts[start : start + max_texts]]}],
            request_id=f"texts-{start}",
            additional_model_request_fields=settings.to_dict() or None,
        )
        for start in range(0, len(texts), max_texts)
    ]


class EmbeddingDialect:
    """Says a request for embeddings as InvokeModel of one family, and reads its reply.

    Args:
        family: of the model.
        takes_tags: whether InvokeModel may be sent `requestMetadata`; what cannot be sent is left out.
    """

    def __init__(self, family: EmbeddingFamily, *, takes_tags: bool = True) -> None:
        self._family = family
        self._takes_tags = takes_tags

    def to_wire(self, request: WireRequest) -> WireRequest:
        """The same as InvokeModel."""
        params = request.params
        settings = EmbeddingSettings(**params.get("additionalModelRequestFields", {}))
        wire = {
            "modelId": params["modelId"],
            "body": json.dumps(self._family.write(_texts(params), settings, self._family), ensure_ascii=False).encode(),
            "contentType": "application/json",
            "accept": "application/json",
        }
        guardrail = params.get("guardrailConfig") or {}
        wire |= {name: guardrail[name] for name in ("guardrailIdentifier", "guardrailVersion") if name in guardrail}
        if tier := params.get("serviceTier"):
            wire["serviceTier"] = tier["type"]
        tags = params.get("requestMetadata")
        if tags and self._takes_tags:
            wire["requestMetadata"] = json.dumps(tags)
        return WireRequest("invoke_model", request.region, wire)

    def from_wire(self, request: WireRequest, reply: Reply) -> Reply | Failure:
        """The vectors as `embeddings`, the tokens as Converse's `usage`.

        Args:
            request: what was asked, before it was translated.
            reply: with the reply's body as bytes.
        """
        try:
            body = json.loads(reply.data["body"])
            vectors = _checked(self._family.read(body), len(_texts(request.params)))
            tokens = int(reply.headers.get(_TOKENS_HEADER) or body.get("inputTextTokenCount") or 0)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            return Failure(
                FailureKind.SERVICE,
                "UnreadableReply",
                f"The reply is not of the shape of {self._family.name}: {error}",
                request_id=reply.request_id,
                duration_seconds=reply.duration_seconds,
            )
        data: dict[str, Any] = {
            "embeddings": vectors,
            "usage": {"inputTokens": tokens, "outputTokens": 0, "totalTokens": tokens},
        }
        if tier := reply.data.get("serviceTier"):
            data["serviceTier"] = {"type": tier}
        return Reply(data, reply.request_id, reply.duration_seconds, reply.headers)


@dataclass(frozen=True, slots=True)
class EmbeddingResponse:
    """Vectors, one per text, in the order of the texts.

    Args:
        vectors: lists of floats, all of the same length.
        dimensions: that length; 0 without vectors.
        input_tokens: of all texts together.
        cost_usd: of all calls that were answered; None where the price is not known.
        model_used: the id that really answered: model id, inference profile id or ARN; None without texts.
        region_used: the region that answered last; None without texts.
        attempts: every call, oldest first per request.
    """

    vectors: list[list[float]]
    dimensions: int
    input_tokens: int = 0
    cost_usd: float | None = 0.0
    model_used: str | None = None
    region_used: str | None = None
    attempts: tuple[RequestAttempt, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe."""
        return {
            "vectors": self.vectors,
            "dimensions": self.dimensions,
            "input_tokens": self.input_tokens,
            "cost_usd": self.cost_usd,
            "model_used": self.model_used,
            "region_used": self.region_used,
            "attempts": [attempt.to_dict() for attempt in self.attempts],
        }


def join_responses(responses: Sequence[BedrockResponse]) -> EmbeddingResponse:
    """The answers to several requests as one. All of them succeeded."""
    if not responses:
        return EmbeddingResponse([], 0)
    vectors = [vector for response in responses for vector in response.response_data["embeddings"]]
    costs = [response.cost_usd for response in responses]
    known = [cost for cost in costs if cost is not None]
    return EmbeddingResponse(
        vectors=vectors,
        dimensions=len(vectors[0]),
        input_tokens=sum(response.usage.input_tokens for response in responses),
        cost_usd=sum(known) if len(known) == len(costs) else None,
        model_used=responses[-1].model_used,
        region_used=responses[-1].region_used,
        attempts=tuple(attempt for response in responses for attempt in response.attempts),
    )


def _texts(params: Mapping[str, Any]) -> list[str]:
    return [block["text"] for message in params["messages"] for block in message["content"]]


def _fault_of(text: object) -> str | None:
    if not isinstance(text, str):
        return type(text).__name__
    return None if text.strip() else "empty"


def _checked(vectors: list[list[float]], count: int) -> list[list[float]]:
    lengths = {len(vector) for vector in vectors}
    if len(vectors) != count or len(lengths) != 1:
        raise ValueError(f"{len(vectors)} vectors for {count} texts, of {len(lengths)} different lengths")
    return vectors
