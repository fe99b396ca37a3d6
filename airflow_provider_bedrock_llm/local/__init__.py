"""A Bedrock endpoint on loopback: demos, DAG tests and this project's own tests run against it.

`LocalEndpoint` starts one in a thread, `LocalEndpoint.spawn()` in a process of its own; both are context managers.
"""

from __future__ import annotations

from .answers import Answer, Answerer, ConverseCall
from .batch_settings import BatchSettings
from .command_line import add_arguments, run
from .control import EndpointControl, EndpointStats
from .endpoint import LocalEndpoint, SpawnedEndpoint
from .latency import Latency
from .limits import Limit
from .models import LocalModel, load_models
from .settings import EndpointSettings
from .wire_errors import PRESETS, ErrorReply, Refused, preset

__all__ = [
    "PRESETS",
    "Answer",
    "Answerer",
    "BatchSettings",
    "ConverseCall",
    "EndpointControl",
    "EndpointSettings",
    "EndpointStats",
    "ErrorReply",
    "Latency",
    "Limit",
    "LocalEndpoint",
    "LocalModel",
    "Refused",
    "SpawnedEndpoint",
    "add_arguments",
    "load_models",
    "preset",
    "run",
]
