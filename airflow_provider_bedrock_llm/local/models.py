"""Which models the endpoint has, where, and by which ids they are reached."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .wire_errors import Refused, preset

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ApplicationProfile", "LocalModel", "ModelBook", "Target", "load_models"]

_KEPT_IDS = 10_000
_GEO_REGIONS: Mapping[str, tuple[str, ...]] = {
    "us": ("us-east-*", "us-west-*", "ca-central-1"),
    "eu": ("eu-*",),
    "apac": ("ap-*",),
    "jp": ("ap-northeast-1", "ap-northeast-3"),
    "au": ("ap-southeast-2", "ap-southeast-4"),
    "ca": ("ca-*",),
    "us-gov": ("us-gov-*",),
    "global": ("*",),
}


@dataclass(frozen=True, slots=True)
class LocalModel:
    """One foundation model.

    `regions` and the values of `profiles` (profile id -> source regions) are shell patterns such as `us-*`.
    `on_demand` False, or a region in `profile_only_regions`, means that the base id is refused there.
    `access` is "granted", or the name of an error in `wire_errors.PRESETS` that every call meets. `embedding`
    names the request and reply shape of InvokeModel: titan_v1, titan_v2, cohere_v3, cohere_v4 or nova.
    """

    model_id: str
    name: str = ""
    regions: tuple[str, ...] = ("*",)
    profiles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    on_demand: bool = True
    profile_only_regions: tuple[str, ...] = ()
    converse: bool = True
    streaming: bool = True
    tools: bool = True
    system: bool = True
    prompt_caching: bool = False
    prompt_cache_min_tokens: int = 1024
    structured_output: bool = True
    count_tokens: bool = False
    temperature_or_top_p: bool = False
    input_modalities: tuple[str, ...] = ("TEXT",)
    context_window_tokens: int = 200_000
    max_output_tokens: int = 4_096
    output_burndown: float = 1.0
    lifecycle: str = "ACTIVE"
    access: str = "granted"
    embedding: str = ""

    def __post_init__(self) -> None:
        if not self.model_id:
            raise ValueError("model_id='' is empty. Give the foundation model's id.")
        if self.lifecycle not in {"ACTIVE", "LEGACY"}:
            raise ValueError(f"lifecycle={self.lifecycle!r} of {self.model_id}. Use ACTIVE or LEGACY.")
        if self.access != "granted":
            preset(self.access)

    def is_on_demand(self, region: str) -> bool:
        """Whether the base id can be called in a region."""
        return self.on_demand and not _matches(region, self.profile_only_regions)

    @property
    def provider(self) -> str:
        names = {"ai21": "AI21 Labs", "deepseek": "DeepSeek", "openai": "OpenAI", "mistral": "Mistral AI"}
        key = self.model_id.partition(".")[0]
        return names.get(key, key.capitalize())


@dataclass(frozen=True, slots=True)
class ApplicationProfile:
    """An inference profile that the account made itself (CreateInferenceProfile)."""

    profile_id: str
    name: str
    region: str
    model_id: str


@dataclass(frozen=True, slots=True)
class Target:
    """What a `modelId` of a call means in its region. `quota_key` is the id that AWS meters."""

    asked: str
    model: LocalModel
    quota_key: str
    is_base_id: bool
    via_router: bool = False


_ARN = re.compile(r"arn:aws(?:-[^:]+)?:(bedrock|sagemaker):([a-z0-9-]*):([0-9]{12})?:([a-z-]+)/(.+)")
_ACCOUNT_KINDS = {
    "custom-model",
    "custom-model-deployment",
    "imported-model",
    "provisioned-model",
    "prompt",
    "prompt-router",
    "endpoint",
}


class ModelBook:
    """The models of an endpoint, and what each id means in each region.

    Ids are resolved once per region and kept. ARNs of the account's own things (custom, imported and provisioned
    models, prompts, routers) are taken on trust: there is no account behind the endpoint that could know them.
    """

    def __init__(self, models: Iterable[LocalModel]) -> None:
        self._models: dict[str, LocalModel] = {}
        self._profiles: dict[str, tuple[LocalModel, tuple[str, ...]]] = {}
        self._application: dict[tuple[str, str], ApplicationProfile] = {}
        self._known: dict[tuple[str, str], Target | Refused] = {}
        self.replace(models)

    def replace(self, models: Iterable[LocalModel]) -> None:
        """Put other models in the place of all there are; application profiles stay."""
        self._models = {model.model_id: model for model in models}
        self._profiles = {
            profile_id: (model, tuple(regions))
            for model in self._models.values()
            for profile_id, regions in model.profiles.items()
        }
        self._known.clear()

    def update(self, models: Iterable[LocalModel]) -> None:
        """Add models, or change those with the same id."""
        changed = {model.model_id: model for model in models}
        self.replace([*({**self._models, **changed}).values()])

    def in_region(self, region: str) -> list[LocalModel]:
        return [model for model in self._models.values() if _matches(region, model.regions)]

    def profiles_in(self, region: str) -> list[tuple[str, LocalModel]]:
        return [
            (profile_id, model) for profile_id, (model, sources) in self._profiles.items() if _matches(region, sources)
        ]

    def application_profiles_in(self, region: str) -> list[ApplicationProfile]:
        return [profile for (where, _), profile in self._application.items() if where == region]

    def add_application_profile(self, profile: ApplicationProfile) -> None:
        self._application[profile.region, profile.profile_id] = profile
        self._known.clear()

    def remove_application_profile(self, region: str, profile_id: str) -> bool:
        self._known.clear()
        return self._application.pop((region, profile_id), None) is not None

    def get(self, model_id: str) -> LocalModel | None:
        return self._models.get(model_id)

    def resolve(self, asked: str, region: str) -> Target:
        """The model behind an id, a profile id or an ARN; Refused with AWS's words where there is none."""
        found = self._known.get((region, asked))
        if found is None:
            try:
                found = self._resolve(asked, region)
            except Refused as refused:
                found = refused
            if len(self._known) < _KEPT_IDS:
                self._known[region, asked] = found
        if isinstance(found, Refused):
            raise Refused(found.reply)
        return found

    def _resolve(self, asked: str, region: str) -> Target:
        if asked.startswith("arn:"):
            return self._resolve_arn(asked, region)
        if asked in self._profiles:
            model, sources = self._profiles[asked]
            if _matches(region, sources):
                return _target(asked, model, asked)
        model_or_none = self._models.get(asked)
        if model_or_none is None or not _matches(region, model_or_none.regions):
            raise Refused(preset("invalid_model"))
        if not model_or_none.is_on_demand(region):
            raise Refused(preset("needs_profile").filled(model=asked))
        return _target(asked, model_or_none, asked, is_base_id=True)

    def _resolve_arn(self, asked: str, region: str) -> Target:
        parts = _ARN.fullmatch(asked)
        if not parts:
            raise Refused(preset("invalid_model"))
        service, arn_region, _, kind, name = parts.groups()
        if arn_region != region and not (kind == "foundation-model" and not arn_region):
            raise Refused(preset("invalid_model"))
        if kind in {"foundation-model", "inference-profile"}:
            return dataclasses.replace(self._resolve(name, region), asked=asked)
        if kind == "application-inference-profile":
            profile = self._application.get((region, name))
            model = self._models.get(profile.model_id) if profile else None
            if not model:
                raise Refused(preset("invalid_model"))
            return _target(asked, model, asked)
        if kind == "default-prompt-router":
            model = next(iter(self.in_region(region)), LocalModel("local.router"))
            return _target(asked, model, asked, via_router=True)
        if kind in _ACCOUNT_KINDS and (service == "bedrock" or kind == "endpoint"):
            return _target(asked, LocalModel(f"local.{kind}"), asked)
        raise Refused(preset("invalid_model"))


def _target(
    asked: str, model: LocalModel, quota_key: str, *, is_base_id: bool = False, via_router: bool = False
) -> Target:
    if model.access != "granted":
        raise Refused(preset(model.access).filled(model=model.model_id))
    return Target(asked, model, quota_key, is_base_id, via_router)


def _matches(region: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(region, pattern) for pattern in patterns)


def load_models(entries: Iterable[Mapping[str, Any]]) -> list[LocalModel]:
    """Models from objects whose keys are the fields of `LocalModel`; ValueError names a key that is none."""
    return [_load_model(entry) for entry in entries]


def _load_model(entry: Mapping[str, Any]) -> LocalModel:
    names = {one.name for one in dataclasses.fields(LocalModel)}
    unknown = sorted(set(entry) - names)
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not a setting of a local model. Use: {', '.join(sorted(names))}.")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    profiles: Mapping[str, Iterable[str]] = values.get("profiles", {})
    values["profiles"] = {key: tuple(regions) for key, regions in profiles.items()}
    return LocalModel(**values)


def geo_profiles(model_id: str, *geos: str) -> dict[str, tuple[str, ...]]:
    """Cross-region profiles of a model, with the source regions that a geography usually has."""
    return {f"{geo}.{model_id}": _GEO_REGIONS[geo] for geo in geos}
