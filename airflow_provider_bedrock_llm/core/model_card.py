"""What is known about one model. None, or a missing key, always means: not known."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.model_id import ModelIdError, ModelIdKind, parse_model_id
from airflow_provider_bedrock_llm.core.pricing import Prices

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["InferenceProfile", "Lifecycle", "ModelCard"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def _nothing() -> Mapping[str, Any]:
    return _NOTHING


@dataclass(frozen=True, slots=True)
class InferenceProfile:
    """An inference profile of a model.

    Attributes:
        model_id: what is sent: the profile's id, or for an application profile its ARN.
        geo: `eu`, `us`, `apac`, `global` ...; None for an application profile.
        source_regions: where it can be called from.
        destinations: source region -> where a request from there may be run; `*` stands for the others. Only what
            AWS said; nothing is recorded for the global profile.
        assumed: the source regions are those usual for the geo prefix; AWS was not asked for the snapshot.
        name: the name of an application profile.
        copied_from: the system-defined profile that an application profile was made from, as far as known.
    """

    model_id: str
    geo: str | None
    source_regions: frozenset[str]
    destinations: Mapping[str, frozenset[str]] = field(default_factory=_nothing, hash=False)
    assumed: bool = False
    name: str | None = None
    copied_from: str | None = None

    @classmethod
    def from_dict(cls, model_id: str, raw: Mapping[str, Any]) -> InferenceProfile:
        """Read a profile entry of the catalog."""
        destinations = {source: frozenset(to) for source, to in raw.get("destinations", {}).items()}
        parsed = parse_model_id(model_id)
        return cls(
            model_id=model_id,
            geo=parsed.geo,
            source_regions=frozenset(raw.get("source_regions", ())),
            destinations=MappingProxyType(destinations),
            assumed=bool(raw.get("assumed", False)),
            name=raw.get("name"),
            copied_from=raw.get("copied_from"),
        )

    @property
    def is_global(self) -> bool:
        """Whether AWS may run a request in any commercial region."""
        return self.geo == "global"

    def destinations_from(self, source_region: str) -> frozenset[str] | None:
        """Where a request from this region may be run; None: not known."""
        return self.destinations.get(source_region, self.destinations.get("*"))

    @property
    def is_application(self) -> bool:
        """Whether the account made it; such a profile is used only by whoever names its ARN."""
        return parse_model_id(self.model_id).kind is ModelIdKind.APPLICATION_INFERENCE_PROFILE_ARN


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """Where a model stands in its life. `status` is ACTIVE, LEGACY, DEPRECATED or END_OF_LIFE, or None."""

    status: str | None = None
    release_date: date | None = None
    legacy_date: date | None = None
    end_of_life: date | None = None

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Lifecycle:
        """Read a lifecycle entry of the catalog; dates are ISO dates."""
        return cls(
            status=raw.get("status"),
            release_date=_date(raw.get("release_date")),
            legacy_date=_date(raw.get("legacy_date")),
            end_of_life=_date(raw.get("end_of_life")),
        )

    def days_left(self, today: date) -> int | None:
        """Days until the end of life, negative when it has passed; None where no date is known."""
        return None if self.end_of_life is None else (self.end_of_life - today).days

    def is_over(self, today: date) -> bool:
        """Whether the model has passed its end of life, as far as known."""
        left = self.days_left(today)
        return self.status == "END_OF_LIFE" if left is None else left < 0


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One base model of Bedrock.

    Attributes:
        model_id: the base model's id.
        aws_name: what ListFoundationModels calls it, where the account was asked.
        mode: `chat`, `embedding`, `rerank`, `image_generation` ...
        direct_regions: region -> who says so: `aws_api`, `account` (this account's own ListFoundationModels) or
            `litellm_price` (only a price is known for the region).
        asked_regions: regions where AWS was asked for its models: what is not recorded there is not there.
        account_regions: those of them where this account was asked, so that nothing there is assumed.
        profile_required: regions where AWS answered a direct call with: only through an inference profile.
        profiles: every inference profile that is known, system-defined and application.
        converse: whether the Converse API takes the model.
        other_endpoint: the model is (also) on an endpoint that is not Bedrock's runtime.
        capabilities: such as tool_use, tool_choice, structured_output, vision, prompt_caching, reasoning, citations:
            True or False; and prompt_cache_ttls, prompt_cache_min_tokens, reasoning_effort_levels,
            reasoning_request_shape.
        confidence: `aws_api`, `account`, `multi` (several public sources) or `single`.
        raw_prices: the price entries: `default`, `by_profile`, `by_region`; ask `prices_for`.
    """

    model_id: str
    name: str
    provider: str
    aliases: tuple[str, ...] = ()
    aws_name: str | None = None
    mode: str | None = None
    direct_regions: Mapping[str, str] = field(default_factory=_nothing, hash=False)
    asked_regions: frozenset[str] = frozenset()
    account_regions: frozenset[str] = frozenset()
    profile_required: frozenset[str] = frozenset()
    profiles: tuple[InferenceProfile, ...] = ()
    input_modalities: tuple[str, ...] = ()
    output_modalities: tuple[str, ...] = ()
    streaming: bool | None = None
    converse: bool | None = None
    other_endpoint: bool = False
    context_window_tokens: int | None = None
    max_output_tokens: int | None = None
    capabilities: Mapping[str, Any] = field(default_factory=_nothing, hash=False)
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    confidence: str = "single"
    sources: tuple[str, ...] = ()
    raw_prices: Mapping[str, Any] = field(default_factory=_nothing, hash=False)
    disputed_prices: frozenset[str] = frozenset()

    @classmethod
    def from_dict(
        cls,
        model_id: str,
        raw: Mapping[str, Any],
        *,
        asked_regions: frozenset[str] = frozenset(),
        account_regions: frozenset[str] = frozenset(),
    ) -> ModelCard:
        """Read a model entry of the catalog."""
        profiles = raw.get("profiles", {})
        return cls(
            model_id=model_id,
            name=raw.get("name") or raw.get("aws_name") or model_id,
            provider=raw.get("provider") or model_id.partition(".")[0],
            aliases=tuple(raw.get("aliases", ())),
            aws_name=raw.get("aws_name"),
            mode=raw.get("mode"),
            direct_regions=MappingProxyType(dict(raw.get("direct_regions", {}))),
            asked_regions=asked_regions | account_regions,
            account_regions=account_regions,
            profile_required=frozenset(raw.get("profile_required", ())),
            profiles=tuple(InferenceProfile.from_dict(key, profiles[key]) for key in sorted(profiles)),
            input_modalities=tuple(raw.get("input_modalities", ())),
            output_modalities=tuple(raw.get("output_modalities", ())),
            streaming=raw.get("streaming"),
            converse=raw.get("converse"),
            other_endpoint=bool(raw.get("other_endpoint", False)),
            context_window_tokens=raw.get("context_window_tokens"),
            max_output_tokens=raw.get("max_output_tokens"),
            capabilities=MappingProxyType(dict(raw.get("capabilities", {}))),
            lifecycle=Lifecycle.from_dict(raw.get("lifecycle", {})),
            confidence=raw.get("confidence", "single"),
            sources=tuple(raw.get("sources", ())),
            raw_prices=raw.get("prices", _NOTHING),
            disputed_prices=frozenset(raw.get("disputed_prices", ())),
        )

    @property
    def regions(self) -> frozenset[str]:
        """Every region where the model can be called, directly or through a system-defined profile."""
        through_profiles = (profile.source_regions for profile in self.profiles if not profile.is_application)
        return frozenset(self.direct_regions).union(*through_profiles)

    def supports(self, capability: str) -> bool | None:
        """Whether the model has a capability, such as `tool_use`; None: not known.

        `streaming` and `converse` are asked in the same way.
        """
        known = {"streaming": self.streaming, "converse": self.converse}.get(
            capability, self.capabilities.get(capability)
        )
        return None if known is None else bool(known)

    def profile(self, model_id: str) -> InferenceProfile | None:
        """The profile that is sent under this id or ARN."""
        return next((profile for profile in self.profiles if profile.model_id == model_id), None)

    def prices_for(self, sent_id: str, region: str) -> Prices | None:
        """What a request costs that was sent under this id to this region; None: not known.

        A profile has its own price. A profile without one costs what the source region costs, as AWS bills it, but
        only where no profile of the model has a price of its own: from Claude 4.5 on a geo profile costs more than
        the list price, and the list price would be a guess.
        """
        try:
            sent = parse_model_id(sent_id)
        except ModelIdError:
            return None
        by_profile = self.raw_prices.get("by_profile", _NOTHING)
        profile_id = sent.profile_id
        if sent.kind is ModelIdKind.APPLICATION_INFERENCE_PROFILE_ARN:
            application = self.profile(sent_id)
            if application is None or application.copied_from is None:
                return None
            profile_id = None if application.copied_from == self.model_id else application.copied_from
        if profile_id is not None:
            if profile_id in by_profile:
                return self._prices(by_profile[profile_id], "profile", profile_id)
            if by_profile:
                return None
        by_region = self.raw_prices.get("by_region", _NOTHING)
        if region in by_region:
            return self._prices(by_region[region], "region", self.model_id)
        if default := self.raw_prices.get("default"):
            return self._prices(default, "default", self.model_id)
        return None

    def _prices(self, raw: Mapping[str, Any], basis: str, priced_id: str) -> Prices:
        return Prices.from_dict(raw, basis=basis, disputed=priced_id in self.disputed_prices)


def _date(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
