"""Which regions have Bedrock, from botocore's own endpoint data: no list in this package can be out of date."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import botocore.session
from botocore.exceptions import UnknownRegionError

from airflow_provider_bedrock_llm.core.access import residency_regions

if TYPE_CHECKING:
    from botocore.session import Session

__all__ = ["bedrock_partitions", "bedrock_regions", "partition_of"]


@cache
def _session() -> Session:
    return botocore.session.Session()


@cache
def bedrock_regions(partition: str = "aws", within: str | None = None) -> tuple[str, ...]:
    """The regions of a partition where Bedrock has an endpoint, sorted.

    Args:
        partition: `aws` (commercial), `aws-us-gov`, `aws-eusc`, `aws-iso` ...
        within: a place, such as `eu`, `us` or `apac`; see `core.access.residency_regions`.
    """
    # The runtime has no endpoint list of its own in botocore; the control plane's is the same.
    regions: list[str] = _session().get_available_regions("bedrock", partition_name=partition)
    return tuple(sorted(regions if within is None else residency_regions(within, regions)))


def bedrock_partitions() -> tuple[str, ...]:
    """The partitions that have Bedrock."""
    return tuple(name for name in _session().get_available_partitions() if bedrock_regions(name))


def partition_of(region: str) -> str:
    """The partition that a region belongs to; `aws` for a region that botocore does not know."""
    try:
        partition: str = _session().get_partition_for_region(region)
    except UnknownRegionError:
        return "aws"
    return partition
