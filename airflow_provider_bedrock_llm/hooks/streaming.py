"""The hook's verbs for streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.aws.routing import routed_stream
from airflow_provider_bedrock_llm.aws.streaming_response import StreamingResponse
from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.core.prefill import takes_prefill
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest
from airflow_provider_bedrock_llm.core.stream import StreamRecovery

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_bedrock_llm.aws.streaming import StreamEngine
    from airflow_provider_bedrock_llm.core.catalog import Catalog

__all__ = ["StreamingVerbs"]


class StreamingVerbs:
    """Part of `BedrockLLMHook`."""

    if TYPE_CHECKING:
        catalog: Catalog
        engine: StreamEngine
        chosen_for: Any

    def converse_stream(
        self,
        messages: Sequence[Mapping[str, Any]] = (),
        *,
        recovery: StreamRecovery | str = StreamRecovery.FAIL,
        **fields: Any,
    ) -> StreamingResponse:
        """Send one request and read its answer as it is made.

            for piece in (stream := hook.converse_stream([text_message("Tell me a story.")])):
                print(piece, end="", flush=True)
            print(stream.response.usage)

        Args:
            messages: Converse messages.
            recovery: what to do when the stream breaks after text was given out: `fail`, `restart` or `continue`.
                Before that, the RetryConfig holds as for `converse`.
            **fields: the other fields of `BedrockConverseRequest`.

        Returns:
            An iterator of text, and then the response. Nothing is sent before the first piece is asked for.

        Raises:
            ConfigurationError: the recovery is not known, or the hook is misconfigured.
        """
        return self.converse_stream_with_request(BedrockConverseRequest(messages, **fields), recovery)

    def converse_stream_with_request(
        self, request: BedrockConverseRequest, recovery: StreamRecovery | str = StreamRecovery.FAIL
    ) -> StreamingResponse:
        """Send one request and read its answer as it is made; see `converse_stream`."""
        known = [member.value for member in StreamRecovery]
        if recovery not in known:
            raise ConfigurationError(f"recovery={recovery!r} is not known. Give one of {', '.join(known)}.")
        request, choice = self.chosen_for(request)
        items = self.engine.stream(request, StreamRecovery(recovery))
        return StreamingResponse(items if choice is None else routed_stream(items, choice))

    def takes_prefill(self, model_id: str) -> bool:
        """Whether a model goes on from the beginning of an answer that it is given."""
        card = self.catalog.card(model_id)
        return card is not None and takes_prefill(card.model_id)
