"""Which models go on from the beginning of an answer that they are given (an assistant message at the end).

AWS has no field for it; what is not listed here is taken not to. Anthropic: up to the 4.5 generation; from 4.6 on the
API refuses it ("This model does not support assistant message prefill", strands-agents/sdk-python#1694). Amazon
documents it for the first generation of Nova.
"""

from __future__ import annotations

import re

__all__ = ["takes_prefill"]

_TAKES_PREFILL = re.compile(
    r"anthropic\.claude-(3(-[57])?-(haiku|sonnet|opus)|(haiku|sonnet|opus)-4(-[015])?)(-\d{8}.*)?"
    r"|amazon\.nova-(micro|lite|pro|premier)-v1:0.*"
)


def takes_prefill(base_id: str) -> bool:
    """Whether a model goes on from a given beginning.

    Args:
        base_id: the base model's id, without geo prefix.
    """
    return _TAKES_PREFILL.fullmatch(base_id) is not None
