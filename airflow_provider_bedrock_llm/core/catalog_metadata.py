"""What a catalog says about itself, and about one model in one region."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from airflow_provider_bedrock_llm.core.access import AccessMethod

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow_provider_bedrock_llm.core.access import AccessOption
    from airflow_provider_bedrock_llm.core.model_card import ModelCard

__all__ = ["DEFAULT_VARIABLE_KEY", "CacheMode", "CatalogMetadata", "CatalogSource", "ModelInfo"]


DEFAULT_VARIABLE_KEY = "bedrock_llm_model_catalog"


class CacheMode(Enum):
    """Where what was learned from the account is kept."""

    VARIABLE = "variable"
    """In an Airflow Variable: shared by all tasks, shown in the UI."""
    MEMORY = "memory"
    """In this process, shared by all catalogs of the same key."""
    NONE = "none"
    """Nowhere: every catalog asks AWS anew."""


class CatalogSource(Enum):
    """Which step of the waterfall gave the catalog."""

    API = "API"
    CACHE = "CACHE"
    BUNDLED = "BUNDLED"


@dataclass(frozen=True, slots=True)
class CatalogMetadata:
    """Where the catalog comes from.

    Attributes:
        source: which step gave it.
        retrieval_timestamp: when the oldest of AWS's answers came that are in it; for the snapshot, when it was made.
        api_regions_queried: the regions whose answers are in it.
        regions_failed: region -> why it gave no answer the last time.
        bundled_data_version: when the snapshot was made.
        package_version: of this package.
    """

    source: CatalogSource
    retrieval_timestamp: datetime | None
    api_regions_queried: tuple[str, ...]
    regions_failed: Mapping[str, str]
    bundled_data_version: str | None
    package_version: str


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model in a region.

    Attributes:
        card: everything that is known about the model.
        region: the region that was asked for; None for none.
        access: the ways to call it there, best first.
    """

    card: ModelCard
    region: str | None
    access: tuple[AccessOption, ...]

    @property
    def model_id(self) -> str:
        """The base model's id."""
        return self.card.model_id

    @property
    def inference_profile_id(self) -> str | None:
        """The first inference profile that can be called in the region."""
        profiles = (option.model_id for option in self.access if option.access is not AccessMethod.DIRECT)
        return next(profiles, None)

    @property
    def supports_streaming(self) -> bool | None:
        """None: not known."""
        return self.card.streaming
