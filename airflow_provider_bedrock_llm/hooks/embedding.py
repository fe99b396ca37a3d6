"""The hook's verb for embeddings, and the engine of a job that embeds rows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.aws.converse import Engine
from airflow_provider_bedrock_llm.aws.dialect import DialectTransport, invoke_model_takes_tags
from airflow_provider_bedrock_llm.aws.embedding import EmbeddingEngine
from airflow_provider_bedrock_llm.aws.transport import BotoTransport
from airflow_provider_bedrock_llm.core.embedding import (
    EmbeddingDialect,
    EmbeddingResponse,
    embedding_requests,
    join_responses,
)
from airflow_provider_bedrock_llm.core.embedding_family import EmbeddingFamily, EmbeddingSettings, embedding_family
from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.hooks.arguments import model_choice

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping, Sequence

    from airflow_provider_bedrock_llm.aws.lean_transport import LeanTransport
    from airflow_provider_bedrock_llm.aws.transport import AioTransport
    from airflow_provider_bedrock_llm.core.config import ParallelProcessingConfig
    from airflow_provider_bedrock_llm.core.limiter import RouteBook
    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
    from airflow_provider_bedrock_llm.core.response import BedrockResponse
    from airflow_provider_bedrock_llm.core.routes import ModelChoice

__all__ = ["EmbeddingVerbs"]


class EmbeddingVerbs:
    """Part of `BedrockLLMHook`."""

    if TYPE_CHECKING:
        boto3_config: Any
        catalog: Any
        choices: tuple[ModelChoice, ...]
        clients: Any
        async_engine: Any
        plan: Any
        policy: Any

    def embed(
        self,
        texts: str | Sequence[str],
        *,
        model: str | Mapping[str, Any] | ModelChoice | None = None,
        dimensions: int | None = None,
        normalize: bool | None = None,
        input_type: str | None = None,
        truncate: str | None = None,
        request_metadata: Mapping[str, str] | None = None,
    ) -> EmbeddingResponse:
        """Turn texts into vectors: a few hundred at most. For a file of them, use `BedrockEmbedOperator`.

        Args:
            texts: the texts, or one text.
            model: the embedding model; None takes the hook's, which must be one alone.
            dimensions: the length of the vectors; None takes the model's default.
            normalize: whether vectors have the length 1 (Titan V2).
            input_type: `search_document`, `search_query`, `classification` or `clustering` (Cohere, Nova). Documents
                and the queries that search them must be embedded as what they are.
            truncate: `START` or `END` cuts a text that is too long there; None is an error for it (Cohere, Nova).
            request_metadata: tags for AWS's invocation logs.

        Raises:
            ConfigurationError: the model is of no known family, or its family does not take a setting.
            RequestValidationError: a text is empty.
            LLMManagerError: no answer; which kind says why.
        """
        choice = self.embedding_choice() if model is None else model_choice(model)
        family = self.embedding_family(choice)
        settings = EmbeddingSettings(dimensions, normalize, input_type, truncate)
        family.check(settings)
        requests = embedding_requests([texts] if isinstance(texts, str) else texts, settings, family.max_texts)
        if request_metadata:
            requests = [replace(request, request_metadata=request_metadata) for request in requests]
        transport = DialectTransport(BotoTransport(self.clients), _dialect(family))
        policy = self.policy(operation="embeddings")
        policy = replace(policy, schema=None, validation=None, inference_config=None, cache=None)
        return join_responses(self._ask_each(Engine(transport, policy, self.plan([choice])), requests))

    def embedding_choice(self) -> ModelChoice:
        """The one model that embeds.

        Raises:
            ConfigurationError: there are several. Vectors of different models cannot be compared, so there is no
                failover from one to another; regions and inference profiles of one model there are.
        """
        if len(self.choices) != 1:
            names = ", ".join(choice.model for choice in self.choices)
            raise ConfigurationError(
                f"models names {len(self.choices)} models ({names}), and vectors of different models cannot be "
                "compared. Give one embedding model; give more regions for failover."
            )
        return self.choices[0]

    def embedding_family(self, choice: ModelChoice) -> EmbeddingFamily:
        """How a model is asked for embeddings.

        Raises:
            ConfigurationError: it is of no family that this package speaks.
        """
        resolved = self.catalog.resolve(choice.model)
        base_id = resolved.model_id.base or (resolved.card.model_id if resolved.card else choice.model)
        return embedding_family(base_id)

    def async_embedding_engine(
        self,
        config: ParallelProcessingConfig,
        book: RouteBook | None = None,
        places: asyncio.Semaphore | None = None,
        stop: asyncio.Event | None = None,
    ) -> tuple[EmbeddingEngine, LeanTransport | AioTransport]:
        """An engine for the running event loop that embeds one text per request; see `async_engine`."""
        family = self.embedding_family(self.embedding_choice())
        engine, transport = self.async_engine(config, book, places, _dialect(family), stop)
        return EmbeddingEngine(engine, family.max_texts), transport

    def _ask_each(self, engine: Engine, requests: Sequence[BedrockConverseRequest]) -> list[BedrockResponse]:
        """Ask all, some at once; the first failure ends it."""
        workers = max(1, min(len(requests), self.boto3_config.max_pool_connections))
        responses = []
        with ThreadPoolExecutor(workers, thread_name_prefix="bedrock-embed") as pool:
            for response in pool.map(engine.ask, requests):
                if response.error is not None:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise response.error
                responses.append(response)
        return responses


def _dialect(family: EmbeddingFamily) -> EmbeddingDialect:
    return EmbeddingDialect(family, takes_tags=invoke_model_takes_tags())
