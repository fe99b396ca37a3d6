"""Which transport calls Bedrock from event loops: `[bedrock_llm] async_transport`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import conf

from airflow_provider_bedrock_llm.core.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.aws.clients import ClientSettings
    from airflow_provider_bedrock_llm.aws.lean_transport import LeanTransport
    from airflow_provider_bedrock_llm.aws.transport import AioTransport

__all__ = ["open_async_transport"]


def open_async_transport(settings: ClientSettings) -> LeanTransport | AioTransport:
    """A transport for the running event loop, which the caller closes.

    Args:
        settings: credentials, timeouts, endpoint, certificates.

    Raises:
        ConfigurationError: there is no transport of that name, or its package is not installed.
    """
    name = conf.get("bedrock_llm", "async_transport", fallback="lean").strip().lower()
    if name == "lean":
        from airflow_provider_bedrock_llm.aws.lean_transport import LeanTransport  # noqa: PLC0415 - heavy

        return LeanTransport(settings)
    if name != "aiobotocore":
        raise ConfigurationError(
            f"[bedrock_llm] async_transport is {name!r}, and there is no such transport. Set it to lean or aiobotocore."
        )
    try:
        from airflow_provider_bedrock_llm.aws.aio_clients import AioClients  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            "[bedrock_llm] async_transport is aiobotocore, which is not installed. Leave the setting empty, or install "
            "it with `pip install 'airflow-provider-bedrock-llm[aiobotocore]'`."
        ) from error
    from airflow_provider_bedrock_llm.aws.transport import AioTransport  # noqa: PLC0415 - heavy

    return AioTransport(AioClients(settings))
