"""What an endpoint is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .latency import Latency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .answers import Answerer
    from .models import LocalModel

__all__ = ["EndpointSettings"]

_LAST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """Settings of a local endpoint.

    `port` and `tls_port` 0 take free ports, `tls_port` None serves no TLS. `models` None means the built-in dozen.
    `keep_bodies` is how many of the last requests' bodies the control address can show: off by default, since
    prompts are private. `max_body_bytes` is what a request may weigh. `s3_endpoint` is the store of batch jobs, such as
    moto's server; None means AWS's S3.
    """

    host: str = "127.0.0.1"
    port: int = 0
    tls_port: int | None = 0
    default_region: str = "us-east-1"
    models: Sequence[LocalModel] | None = None
    answerer: Answerer | None = None
    latency: Latency = field(default_factory=Latency)
    keep_bodies: int = 0
    max_body_bytes: int = 64 * 1024 * 1024
    s3_endpoint: str | None = None

    def __post_init__(self) -> None:
        for name in ("port", "tls_port"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= _LAST_PORT:
                raise ValueError(f"{name}={value} is not a TCP port. Use 0 to 65535; 0 takes a free one.")
        if self.keep_bodies < 0:
            raise ValueError(f"keep_bodies={self.keep_bodies} is below 0. Use 0 to keep none.")
