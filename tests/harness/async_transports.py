"""The transports for event loops, behind one way to open them: every test of one is a test of the other.

Where aiobotocore is not installed, as beside botocore 1.44, the lean one is tested alone.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.aws.lean_transport import LeanTransport

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.aws.clients import ClientSettings

__all__ = ["ASYNC_TRANSPORTS", "open_transport"]

ASYNC_TRANSPORTS = ("lean", "aiobotocore") if importlib.util.find_spec("aiobotocore") else ("lean",)


def open_transport(name: str, settings: ClientSettings) -> Any:
    """A transport of that name, which the caller closes."""
    if name == "lean":
        return LeanTransport(settings)
    from airflow_provider_bedrock_llm.aws.aio_clients import AioClients
    from airflow_provider_bedrock_llm.aws.transport import AioTransport

    return AioTransport(AioClients(settings))
