"""For tests of DAGs, without AWS and without patching.

`local_bedrock` is a pytest fixture. With this in a conftest.py, a test that takes it talks to a Bedrock of its own:

    pytest_plugins = ["airflow_provider_bedrock_llm.testing"]

The fake transports stand one layer lower: for code that takes a `Transport`, they answer from a Python function.
"""

from __future__ import annotations

from airflow_provider_bedrock_llm.testing.endpoint import (
    AskedRequest,
    LocalBedrock,
    local_bedrock,
    local_bedrock_of_session,
)
from airflow_provider_bedrock_llm.testing.transports import (
    AsyncFakeTransport,
    FakeEventStream,
    FakeTransport,
    answer,
    failure,
    stream_events,
    throttled,
)

__all__ = [
    "AskedRequest",
    "AsyncFakeTransport",
    "FakeEventStream",
    "FakeTransport",
    "LocalBedrock",
    "answer",
    "failure",
    "local_bedrock",
    "local_bedrock_of_session",
    "stream_events",
    "throttled",
]
