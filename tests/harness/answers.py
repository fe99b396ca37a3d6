"""Responses for tests, made of the blocks that matter."""

from __future__ import annotations

from typing import Any

from airflow_provider_bedrock_llm.core.response import BedrockResponse
from airflow_provider_bedrock_llm.testing import answer


def answer_of(*blocks: Any, stop_reason: str = "end_turn", **usage: int) -> dict[str, Any]:
    """A Converse answer that consists of these blocks."""
    message = {"role": "assistant", "content": list(blocks)}
    return answer("", stop_reason=stop_reason, **usage) | {"output": {"message": message}}


def response_of(*blocks: Any, stop_reason: str = "end_turn") -> BedrockResponse:
    """A response whose answer consists of these blocks."""
    return BedrockResponse(success=True, response_data=answer_of(*blocks, stop_reason=stop_reason))
