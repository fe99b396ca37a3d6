"""What a call costs of a quota on tokens per minute, as Bedrock counts it.

At its start a call reserves its input and its `maxTokens`, and is throttled there; at its end the reservation is
replaced by input + cache writes + output x burndown, and what was read from a prompt cache is free (AWS, Bedrock User
Guide, "Token burndown and quotas").
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BURNDOWNS", "estimate_input_tokens", "media_tokens", "output_burndown", "used_tokens"]

BURNDOWNS: tuple[tuple[str, float], ...] = ((r"anthropic\.claude-(3-7|(haiku|sonnet|opus)-4(?!-[89]))", 5.0),)
"""(pattern in the model id, tokens of quota per output token); the first match counts, any other model burns 1.

AWS states 5 for Claude 3.7 to 4.7. Newer models are said to burn more, which AWS's page did not confirm when this was
written; a wrong factor costs accuracy, not answers, because what throttling teaches corrects it.
"""

_CHARACTERS_PER_TOKEN = 4
_TOKENS_OF_BLOCKS = {"image": 1_600, "document": 3_000, "video": 10_000, "audio": 1_500}
"""Orders of magnitude: they only have to hold until the call ends and AWS says what it really was."""


@lru_cache(maxsize=1_000)
def output_burndown(model_id: str, burndowns: tuple[tuple[str, float], ...] = BURNDOWNS) -> float:
    """Tokens of quota that one token of output costs.

    Args:
        model_id: what goes on the wire.
        burndowns: as `BURNDOWNS`.
    """
    return next((factor for pattern, factor in burndowns if re.search(pattern, model_id)), 1.0)


def used_tokens(usage: Mapping[str, Any], burndown: float) -> float | None:
    """What an answer took of the quota; None where it does not say.

    Args:
        usage: the `usage` member of the answer.
        burndown: tokens of quota per output token.
    """
    if not usage.get("inputTokens") and not usage.get("outputTokens"):
        return None
    read = (usage.get("inputTokens") or 0) + (usage.get("cacheWriteInputTokens") or 0)
    return float(read + (usage.get("outputTokens") or 0) * burndown)


def estimate_input_tokens(content: Any) -> int:
    """Roughly how many tokens a request's messages, system blocks or tools are; text counts four characters a token.

    Args:
        content: blocks of Converse's shape, or anything made of mappings, sequences and text.
    """
    return _characters(content) // _CHARACTERS_PER_TOKEN


def media_tokens(content: Any) -> int:
    """Roughly how many tokens the images, documents, videos and sounds of a request are."""
    if isinstance(content, dict):
        return sum(_TOKENS_OF_BLOCKS.get(key) or media_tokens(value) for key, value in content.items())
    if isinstance(content, (list, tuple)):
        return sum(map(media_tokens, content))
    return 0


def _characters(content: Any) -> int:
    if isinstance(content, str):
        return len(content)
    if isinstance(content, dict):
        characters = 0
        for key, value in content.items():
            tokens = _TOKENS_OF_BLOCKS.get(key)
            characters += tokens * _CHARACTERS_PER_TOKEN if tokens else _characters(value)
        return characters
    if isinstance(content, (list, tuple)):
        return sum(map(_characters, content))
    return 1 if content is not None else 0
