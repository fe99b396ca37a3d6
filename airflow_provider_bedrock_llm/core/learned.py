"""What an account's own regions answered, as a difference from the bundled snapshot.

The difference is kept per region: a region that failed is not an empty region, it keeps what was known of it and is
asked again; a region that denied is left alone for a while, so that no task pays for asking.
"""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.catalog import ACCOUNT, Catalog, normal_name
from airflow_provider_bedrock_llm.core.merge_patch import make_patch
from airflow_provider_bedrock_llm.core.model_id import ModelIdError, parse_model_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

__all__ = [
    "NOTHING_LEARNED",
    "Learned",
    "RegionAnswer",
    "RegionFailure",
    "fold_destinations",
    "learn",
    "regions_due",
    "require_profile",
    "spread_destinations",
]


@dataclass(frozen=True, slots=True)
class RegionAnswer:
    """What one region answered: the summaries of ListFoundationModels and of ListInferenceProfiles, as they came."""

    models: Sequence[Mapping[str, Any]]
    profiles: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class RegionFailure:
    """Why a region gave no answer.

    Attributes:
        at: when it was asked.
        code: AWS's error code, or the name of the exception.
        message: what it said.
        denied: asking again soon would not help: no permission, or a region that the account has not enabled.
    """

    at: datetime
    code: str
    message: str
    denied: bool = False


@dataclass(frozen=True, slots=True)
class Learned:
    """What was learned from an account.

    Attributes:
        patch: base id -> JSON merge patch over the bundled entry.
        regions: region -> when it answered.
        failed: region -> why it did not, the last time that it was asked.
    """

    patch: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    regions: Mapping[str, datetime] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    failed: Mapping[str, RegionFailure] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    @property
    def retrieved_at(self) -> datetime | None:
        """When the oldest answer came that is still used."""
        return min(self.regions.values(), default=None)

    def over(self, bundle: Catalog) -> Catalog:
        """The bundled catalog with this laid over it."""
        return bundle.merge(self.patch, regions=frozenset(self.regions))


NOTHING_LEARNED = Learned()


def regions_due(
    learned: Learned, wanted: Iterable[str], now: datetime, *, max_age: timedelta, retry_after: timedelta
) -> tuple[str, ...]:
    """Which of the wanted regions are to be asked now.

    Args:
        learned: what is known.
        wanted: the regions that are to be known.
        now: the time.
        max_age: an answer is good for so long, and so is a denial where other regions answer (a region that the
            account has not enabled).
        retry_after: a region that failed otherwise is asked again after so long.
    """
    patience = max_age if learned.regions else retry_after
    due = []
    for region in wanted:
        answered = learned.regions.get(region)
        if answered is not None and now - answered < max_age:
            continue
        failure = learned.failed.get(region)
        if failure is not None and now - failure.at < (patience if failure.denied else retry_after):
            continue
        due.append(region)
    return tuple(due)


def learn(
    bundle: Catalog,
    before: Learned,
    answers: Mapping[str, RegionAnswer],
    failures: Mapping[str, RegionFailure],
    now: datetime,
) -> Learned:
    """Lay new answers over what was learned before.

    For a region that answered, what it did not list is not there any more. A region that failed keeps what was known.
    """
    models = _models(bundle, before)
    for raw in models.values():
        for profile in raw.get("profiles", {}).values():
            profile["destinations"] = spread_destinations(profile, before.regions)
    for region, answer in answers.items():
        _learn_models(models, region, answer.models)
        _learn_profiles(models, region, answer.profiles)
    asked = {**before.regions, **dict.fromkeys(answers, now)}
    for raw in models.values():
        _tidy_profiles(raw)
    failed = {region: failure for region, failure in before.failed.items() if region not in answers} | dict(failures)
    return Learned(make_patch(bundle.models, models), asked, failed)


def require_profile(bundle: Catalog, before: Learned, model_id: str, region: str) -> Learned:
    """Remember that AWS answered a direct call: this model wants an inference profile here."""
    models = _models(bundle, before)
    raw = models.setdefault(model_id, _new_entry(model_id))
    raw.setdefault("profile_required", {})[region] = True
    return Learned(make_patch(bundle.models, models), before.regions, before.failed)


def _models(bundle: Catalog, learned: Learned) -> dict[str, dict[str, Any]]:
    models: dict[str, Any] = copy.deepcopy(dict(learned.over(bundle).models))
    return models


def _new_entry(model_id: str) -> dict[str, Any]:
    return {"confidence": ACCOUNT, "sources": [ACCOUNT], "provider": model_id.partition(".")[0]}


def _learn_models(models: dict[str, Any], region: str, summaries: Sequence[Mapping[str, Any]]) -> None:
    direct = set()
    for summary in summaries:
        try:
            parsed = parse_model_id(summary["modelId"])
        except ModelIdError:
            continue
        base_id = _known_base(models, parsed.base or parsed.text)
        if parsed.context is None:
            _learn_facts(models.setdefault(base_id, _new_entry(base_id)), summary)
        if "ON_DEMAND" in summary.get("inferenceTypesSupported", ()):
            direct.add(base_id)
    for base_id, raw in models.items():
        regions = raw.get("direct_regions", {})
        if base_id not in direct:
            regions.pop(region, None)
        elif regions.get(region) != "aws_api":
            raw.setdefault("direct_regions", regions)[region] = ACCOUNT


def _known_base(models: Mapping[str, Any], base_id: str) -> str:
    short = base_id.removesuffix(":0")
    return short if base_id not in models and short in models else base_id


def _learn_facts(raw: dict[str, Any], summary: Mapping[str, Any]) -> None:
    """Take over what AWS says about the model; AWS is the authority, and equal facts keep their spelling."""
    if (provider := summary.get("providerName")) and raw["provider"] == summary["modelId"].partition(".")[0]:
        raw["provider"] = provider
    name = summary.get("modelName")
    known = {normal_name(text) for text in (raw.get("name", ""), *raw.get("aliases", ()))}
    if name and normal_name(name) not in known:
        raw["aws_name"] = name
    for key, told in (("input_modalities", "inputModalities"), ("output_modalities", "outputModalities")):
        if told in summary and sorted(raw.get(key, ())) != sorted(summary[told]):
            raw[key] = sorted(summary[told])
    if "responseStreamingSupported" in summary:
        raw["streaming"] = bool(summary["responseStreamingSupported"])
    told = summary.get("modelLifecycle", {})
    lifecycle = raw.get("lifecycle", {})
    if (status := told.get("status")) and (status != "ACTIVE" or "status" in lifecycle):
        lifecycle["status"] = status
    for key, told_as in (("legacy_date", "legacyTime"), ("end_of_life", "endOfLifeTime")):
        if told_as in told:
            lifecycle[key] = _iso_date(told[told_as])
    if lifecycle:
        raw["lifecycle"] = lifecycle


def _iso_date(told: datetime | str) -> str:
    return told[:10] if isinstance(told, str) else told.date().isoformat()


def _learn_profiles(models: dict[str, Any], region: str, summaries: Sequence[Mapping[str, Any]]) -> None:
    arns = {summary["inferenceProfileId"]: _model_arns(summary) for summary in summaries}
    listed: dict[str, set[str]] = {}
    for summary in summaries:
        targets = arns[summary["inferenceProfileId"]]
        if not targets:
            continue
        base_id = _known_base(models, targets[0][1])
        application = summary.get("type") == "APPLICATION"
        sent_id = summary["inferenceProfileArn"] if application else summary["inferenceProfileId"]
        raw = models.setdefault(base_id, _new_entry(base_id))
        profile = raw.setdefault("profiles", {}).setdefault(sent_id, {"source_regions": [], "sources": [ACCOUNT]})
        profile["source_regions"] = sorted({*profile["source_regions"], region})
        if application:
            profile["name"] = summary["inferenceProfileName"]
            profile.update(_copied_from(base_id, targets, summaries, arns))
        if not sent_id.startswith("global."):
            profile.setdefault("destinations", {})[region] = sorted({where for where, _ in targets if where})
        listed.setdefault(base_id, set()).add(sent_id)
    for base_id, raw in models.items():
        for sent_id, profile in raw.get("profiles", {}).items():
            if sent_id not in listed.get(base_id, ()) and region in profile["source_regions"]:
                profile["source_regions"] = [source for source in profile["source_regions"] if source != region]
                profile.get("destinations", {}).pop(region, None)


def _model_arns(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(region, model id) of each model ARN; the global profile has ARNs without a region."""
    pairs = []
    for model in summary.get("models", ()):
        parts = model.get("modelArn", "").split(":", 5)
        if len(parts) == 6 and parts[5].startswith("foundation-model/"):  # noqa: PLR2004 - arn:partition:service:...
            pairs.append((parts[3], parts[5].partition("/")[2]))
    return pairs


def _copied_from(
    base_id: str,
    targets: Sequence[tuple[str, str]],
    summaries: Sequence[Mapping[str, Any]],
    arns: Mapping[str, Sequence[tuple[str, str]]],
) -> dict[str, str]:
    """An application profile does not say what it was made from; the models that it may run on do."""
    if len(targets) == 1:
        return {"copied_from": base_id}
    same = [
        summary["inferenceProfileId"]
        for summary in summaries
        if summary.get("type") != "APPLICATION" and sorted(arns[summary["inferenceProfileId"]]) == sorted(targets)
    ]
    return {"copied_from": same[0]} if len(same) == 1 else {}


def spread_destinations(profile: Mapping[str, Any], asked: Iterable[str]) -> dict[str, list[str]]:
    """Source region -> destinations of a profile's entry, with `*` written out for every source that was asked."""
    told = dict(profile.get("destinations", {}))
    usual = told.pop("*", None)
    sources = set(profile["source_regions"]).intersection(asked) if usual else ()
    return dict.fromkeys(sorted(sources), usual or []) | told


def fold_destinations(told: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The same with the most frequent destinations written once, under `*`."""
    if not told:
        return {}
    usual = Counter(tuple(regions) for _, regions in sorted(told.items())).most_common(1)[0][0]
    others = {source: list(regions) for source, regions in sorted(told.items()) if tuple(regions) != usual}
    return {"*": list(usual), **others}


def _tidy_profiles(raw: dict[str, Any]) -> None:
    """Drop profiles that can be called from nowhere, and fold the destinations of the others."""
    profiles = raw.get("profiles", {})
    for sent_id in [sent_id for sent_id, profile in profiles.items() if not profile["source_regions"]]:
        del profiles[sent_id]
    for profile in profiles.values():
        if told := profile.pop("destinations", {}):
            profile["destinations"] = fold_destinations(told)
