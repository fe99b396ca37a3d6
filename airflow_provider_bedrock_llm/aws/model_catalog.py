"""The model catalog of an account: from the store, from AWS, or from the snapshot in the wheel.

    1. the store (an Airflow Variable, or the memory of this process): what was learned before, while it is fresh
    2. AWS: the regions that are not known, too old, or failed a while ago, and only these
    3. the bundled snapshot, with a warning
    4. CatalogUnavailableError, which says what each step answered

What was learned lies over the snapshot as a difference. A refresh that fails never takes away what was there.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_bedrock_llm import __version__
from airflow_provider_bedrock_llm.aws.catalog_bundle import bundled_checksum, load_bundled_catalog
from airflow_provider_bedrock_llm.core.access import options_for
from airflow_provider_bedrock_llm.core.catalog_metadata import (
    DEFAULT_VARIABLE_KEY,
    CacheMode,
    CatalogMetadata,
    CatalogSource,
    ModelInfo,
)
from airflow_provider_bedrock_llm.core.errors import CatalogError, CatalogUnavailableError, UnknownModelError
from airflow_provider_bedrock_llm.core.learned import (
    NOTHING_LEARNED,
    Learned,
    learn,
    regions_due,
    require_profile,
)
from airflow_provider_bedrock_llm.core.learned_document import learned_from_text, learned_to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_bedrock_llm.aws.catalog_source import AwsCatalogSource, Survey
    from airflow_provider_bedrock_llm.core.catalog import Catalog
    from airflow_provider_bedrock_llm.core.model_card import ModelCard

__all__ = ["BedrockModelCatalog", "VariableStore"]

log = logging.getLogger(__name__)

_NAMED_REGIONS = 4
_VARIABLE_DESCRIPTION = "Amazon Bedrock models of this account, written by airflow-provider-bedrock-llm"


class VariableStore(Protocol):
    """Keeps one text per key. What it raises must be a `CatalogError`."""

    def get(self, key: str) -> str | None:
        """The text, or None where there is none."""

    def set(self, key: str, text: str, description: str) -> None:
        """Keep the text."""

    def delete(self, key: str) -> None:
        """Forget the text; nothing happens where there is none."""


@dataclass
class _Memory:
    """MEMORY mode: what this process has learned, by key. One lock, so that threads do not ask AWS twice."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    learned: dict[str, Learned] = field(default_factory=dict)


_memory = _Memory()


class BedrockModelCatalog:
    """Looks models up. Nothing is asked or read before the first question.

    Args:
        client_for: (service, region) -> a boto3 client; None to never ask AWS.
        store: the Variable's store, for CacheMode.VARIABLE; None to keep nothing there.
        cache_mode: where answers of AWS are kept.
        variable_key: the Variable, and in MEMORY mode the key. Give each account its own.
        max_age_hours: an answer older than this is asked for again.
        force_refresh: ask AWS at first use, however fresh the kept answers are.
        max_workers: how many regions are asked at a time.
        timeout: seconds for asking all regions together.
        fallback_to_bundled: use the snapshot where neither store nor AWS gives anything.
        regions: the regions to know; None for all of the partition that have Bedrock.
        partition: where `regions` is None.
        retry_failed_after_minutes: a region that failed is left alone for so long.
        max_variable_bytes: the room in the store; what does not fit is left out and named in the Variable.
        source: asks AWS; None to make one from `client_for`.
        now: the time.
    """

    def __init__(
        self,
        client_for: Callable[[str, str], Any] | None = None,
        store: VariableStore | None = None,
        *,
        cache_mode: CacheMode = CacheMode.VARIABLE,
        variable_key: str = DEFAULT_VARIABLE_KEY,
        max_age_hours: float = 24.0,
        force_refresh: bool = False,
        max_workers: int = 10,
        timeout: float = 30.0,
        fallback_to_bundled: bool = True,
        regions: Sequence[str] | None = None,
        partition: str = "aws",
        retry_failed_after_minutes: float = 15.0,
        max_variable_bytes: int | None = None,
        source: AwsCatalogSource | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if max_age_hours < 0:
            raise ValueError(f"max_age_hours={max_age_hours} lies in the future. Give 0 or more.")
        if source is None and client_for is not None:
            from airflow_provider_bedrock_llm.aws.catalog_source import (  # noqa: PLC0415 - looking models up needs no boto
                AwsCatalogSource,
            )

            source = AwsCatalogSource(client_for, max_workers=max_workers, timeout_seconds=timeout, now=now)
        self._source = source
        self._store = store if cache_mode is CacheMode.VARIABLE else None
        self._cache_mode = cache_mode
        self._key = variable_key
        self._max_age = timedelta.max if max_age_hours == float("inf") else timedelta(hours=max_age_hours)
        self._retry_after = timedelta(minutes=retry_failed_after_minutes)
        self._force = force_refresh
        self._fallback = fallback_to_bundled
        self._regions = None if regions is None else tuple(regions)
        self._partition = partition
        self._max_bytes = max_variable_bytes
        self._now = now
        self._lock = _memory.lock if cache_mode is CacheMode.MEMORY else threading.RLock()
        self._learned = NOTHING_LEARNED
        self._kind: CatalogSource | None = None
        self._catalog: Catalog | None = None

    @property
    def cache_mode(self) -> CacheMode:
        """Where answers of AWS are kept."""
        return self._cache_mode

    @property
    def is_catalog_loaded(self) -> bool:
        """Whether the waterfall has been gone through."""
        return self._catalog is not None

    def ensure_catalog_available(self) -> Catalog:
        """Go through the waterfall, once per object.

        Raises:
            CatalogUnavailableError: no step gave a catalog.
        """
        with self._lock:
            if self._catalog is None:
                self._load()
            if self._catalog is None:
                raise CatalogUnavailableError("The model catalog was cleared while it was loaded. Ask again.")
            return self._catalog

    async def aensure_catalog_available(self) -> Catalog:
        """The same for an event loop: store and AWS are asked in a thread."""
        return await asyncio.to_thread(self.ensure_catalog_available)

    def get_model_info(self, model_name: str, region: str | None = None) -> ModelInfo | None:
        """What is known about a model, and how it is called in a region.

        Args:
            model_name: an id, a profile id, an ARN, or a name or alias of the catalog.
            region: None for the model as such.

        Returns:
            None for an id that the catalog does not know, and for a model that cannot be called in the region.

        Raises:
            UnknownModelError: a name that is not known, with the three nearest.
        """
        resolved = self.ensure_catalog_available().resolve(model_name)
        if resolved.card is None:
            return None
        access = () if region is None else options_for(resolved, region)
        if region is not None and not access:
            return None
        return ModelInfo(resolved.card, region, access)

    def is_model_available(self, model_name: str, region: str) -> bool:
        """Whether a model is known to be callable in a region. A name that is not known is not available."""
        try:
            info = self.get_model_info(model_name, region)
        except UnknownModelError as error:
            log.warning("%s", error)
            return False
        if info is None:
            return False
        return region in info.card.regions or not all(option.assumed for option in info.access)

    def list_models(
        self,
        region: str | None = None,
        provider: str | None = None,
        streaming_only: bool = False,
        capability: str | None = None,
        mode: str | None = None,
    ) -> list[ModelCard]:
        """The models that are known to fit every filter given; see `Catalog.list_models`."""
        return self.ensure_catalog_available().list_models(
            region=region, provider=provider, streaming_only=streaming_only, capability=capability, mode=mode
        )

    def get_catalog_metadata(self) -> CatalogMetadata:
        """Where the catalog comes from."""
        catalog = self.ensure_catalog_available()
        kind = self._kind or CatalogSource.BUNDLED
        made = None if catalog.generated_at is None else datetime.fromisoformat(catalog.generated_at)
        return CatalogMetadata(
            source=kind,
            retrieval_timestamp=made if kind is CatalogSource.BUNDLED else self._learned.retrieved_at,
            api_regions_queried=tuple(sorted(self._learned.regions)),
            regions_failed=MappingProxyType(
                {region: f"{failure.code}: {failure.message}" for region, failure in self._learned.failed.items()}
            ),
            bundled_data_version=catalog.generated_at,
            package_version=__version__,
        )

    def refresh_catalog(self) -> CatalogMetadata:
        """Ask AWS for every region now, and keep what it answers.

        Raises:
            CatalogUnavailableError: no region answered. The catalog that was there stays.
        """
        with self._lock:
            if self._catalog is None:
                self._learned = self._recall()[0]
            survey = self._ask(self._wanted)
            if not survey.answers:
                self._use(self._learned, CatalogSource.CACHE if self._learned.regions else CatalogSource.BUNDLED)
                raise CatalogUnavailableError(
                    f"AWS gave no models in any region: {_in_words(self._learned)}. "
                    "Allow bedrock:ListFoundationModels and bedrock:ListInferenceProfiles, or name other regions. "
                    "The catalog that was there is still in use."
                )
            return self.get_catalog_metadata()

    def clear_cache(self) -> None:
        """Forget what was learned, here and in the store. The next question goes through the waterfall."""
        with self._lock:
            if self._store is not None:
                self._store.delete(self._key)
            _memory.learned.pop(self._key, None)
            self._learned, self._kind, self._catalog = NOTHING_LEARNED, None, None

    def remember_profile_required(self, model_id: str, region: str) -> None:
        """Remember that AWS answered a direct call to this model in this region: only through a profile."""
        with self._lock:
            self.ensure_catalog_available()
            self._learned = require_profile(load_bundled_catalog(), self._newest(), model_id, region)
            self._catalog = self._learned.over(load_bundled_catalog())
            self._keep()

    def learned_text(self) -> str | None:
        """What was learned, as the text that stands in the Variable; None where it does not fit max_variable_bytes."""
        return learned_to_text(
            self._learned,
            load_bundled_catalog(),
            bundled_checksum=bundled_checksum(),
            package_version=__version__,
            max_bytes=self._max_bytes,
        )

    def _load(self) -> None:
        self._learned, said = self._recall()
        steps = [said]
        if self._source is None:
            steps.append("AWS was not asked, because there is no client")
        elif due := self._wanted if self._force else self._due():
            if self._ask(due).answers:
                return
            steps.append(f"AWS answered in no region ({_in_words(self._learned)})")
        elif not self._learned.regions:
            steps.append(f"AWS is not asked again yet ({_in_words(self._learned)})")
        if self._learned.regions:
            if self._now() - min(self._learned.regions.values()) >= self._max_age:
                log.warning("The model catalog is of %s: %s.", self._learned.retrieved_at, "; ".join(steps))
            self._use(self._learned, CatalogSource.CACHE)
            return
        if not self._fallback:
            raise CatalogUnavailableError(
                f"There is no model catalog: {'; '.join(steps)}; the bundled one is switched off. "
                "Allow bedrock:ListFoundationModels and bedrock:ListInferenceProfiles, or set fallback_to_bundled."
            )
        bundle = load_bundled_catalog()
        log.warning(
            "The model catalog is the one that came with the package, of %s: %s. Regions and prices may have changed.",
            bundle.generated_at,
            "; ".join(steps),
        )
        self._use(self._learned, CatalogSource.BUNDLED)

    @cached_property
    def _wanted(self) -> tuple[str, ...]:
        if self._regions is not None:
            return self._regions
        from airflow_provider_bedrock_llm.aws.region_discovery import bedrock_regions  # noqa: PLC0415 - see __init__

        return bedrock_regions(self._partition)

    def _due(self) -> tuple[str, ...]:
        return regions_due(
            self._learned, self._wanted, self._now(), max_age=self._max_age, retry_after=self._retry_after
        )

    def _newest(self) -> Learned:
        """What is kept by now, which another task may have written; else what this object knows."""
        kept, _ = self._recall(log.debug)
        return kept if kept.regions or kept.failed else self._learned

    def _recall(self, warn: Callable[..., None] = log.warning) -> tuple[Learned, str]:
        """What was kept, and what is to be said about it."""
        if self._cache_mode is CacheMode.MEMORY:
            return _memory.learned.get(self._key, NOTHING_LEARNED), "nothing is in this process's memory"
        if self._store is None:
            return NOTHING_LEARNED, "nothing is kept in this mode"
        try:
            text = self._store.get(self._key)
        except CatalogError as error:
            warn("The Variable %s cannot be read, so the catalog is made without it. %s", self._key, error)
            return NOTHING_LEARNED, f"the Variable {self._key} cannot be read ({error})"
        if text is None:
            return NOTHING_LEARNED, f"there is no Variable {self._key}"
        try:
            learned = learned_from_text(text, load_bundled_catalog(), bundled_checksum=bundled_checksum())
        except CatalogError as error:
            warn("The Variable %s is not used. %s It is written anew when AWS answers.", self._key, error)
            return NOTHING_LEARNED, f"the Variable {self._key} is not usable ({error})"
        return learned, f"the Variable {self._key} holds {len(learned.regions)} regions"

    def _ask(self, regions: Sequence[str]) -> Survey:
        """Ask AWS and keep what it said, over what is in the store by now: another task may have been faster."""
        if self._source is None:
            raise CatalogUnavailableError("AWS cannot be asked without a client. Give a connection.")
        survey = self._source.survey(regions)
        before = self._newest()
        self._learned = learn(load_bundled_catalog(), before, survey.answers, survey.failures, self._now())
        self._keep()
        if survey.answers:
            log.info("Bedrock's models: %d regions answered, %d did not.", len(survey.answers), len(survey.failures))
            self._use(self._learned, CatalogSource.API)
        return survey

    def _keep(self) -> None:
        if self._cache_mode is CacheMode.MEMORY:
            _memory.learned[self._key] = self._learned
        if self._store is None:
            return
        text = self.learned_text()
        if text is None:
            log.warning(
                "What was learned about models does not fit max_variable_bytes=%s, and is not kept.", self._max_bytes
            )
            return
        try:
            self._store.set(self._key, text, _VARIABLE_DESCRIPTION)
        except CatalogError as error:
            log.warning("The Variable %s cannot be written, so each task asks AWS anew. %s", self._key, error)

    def _use(self, learned: Learned, kind: CatalogSource) -> None:
        self._kind = kind
        self._catalog = learned.over(load_bundled_catalog())


def _in_words(learned: Learned) -> str:
    """Each cause once, with its regions: thirty regions mostly fail for one cause."""
    regions: dict[str, list[str]] = {}
    for region, failure in sorted(learned.failed.items()):
        regions.setdefault(failure.code, []).append(region)
    told = (f"{code} in {', '.join(where[:_NAMED_REGIONS])}" for code, where in regions.items())
    return ", ".join(told) or "no region was asked"
