"""What was learned from an account, as the JSON text that stands in an Airflow Variable.

A person can read it, and a backend with little room can hold it: it says only what differs from the bundled snapshot,
and where almost all profiles of a geo prefix have the same destination regions, these are written once.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.catalog import Catalog, checksum_of
from airflow_provider_bedrock_llm.core.errors import CatalogError
from airflow_provider_bedrock_llm.core.learned import (
    NOTHING_LEARNED,
    Learned,
    RegionFailure,
    fold_destinations,
    spread_destinations,
)
from airflow_provider_bedrock_llm.core.merge_patch import make_patch
from airflow_provider_bedrock_llm.core.model_id import ModelIdError, is_arn, parse_model_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["LEARNED_SCHEMA_VERSION", "learned_from_text", "learned_to_text"]

LEARNED_SCHEMA_VERSION = 1
_DESCRIPTION = (
    "What Amazon Bedrock told this account about its models, as the difference from the catalog in the installed "
    "airflow-provider-bedrock-llm. Written by the provider; delete it to have it made anew."
)
_MESSAGE_CHARACTERS = 160
_NOT_TOLD: list[str] = []
_LEARNABLE = frozenset(
    {
        "aws_name",
        "confidence",
        "direct_regions",
        "input_modalities",
        "lifecycle",
        "output_modalities",
        "profile_required",
        "profiles",
        "provider",
        "sources",
        "streaming",
    }
)
_OMITTABLE = (
    "application_profiles",
    "aws_name",
    "input_modalities",
    "output_modalities",
    "streaming",
    "lifecycle",
    "destinations",
)
_OMIT_COUNTS = (0, 1, 5, 6, 7)


def learned_to_text(
    learned: Learned,
    bundle: Catalog,
    *,
    bundled_checksum: str,
    package_version: str,
    max_bytes: int | None = None,
) -> str | None:
    """Write the document.

    Args:
        learned: what was learned.
        bundle: what it is the difference from.
        bundled_checksum: the bundle's checksum: with another bundle the difference means nothing.
        package_version: for the reader.
        max_bytes: the room in the store. Indented where there is room; what does not fit without indentation is left
            out in steps, and `omitted` names it: first application profiles (their ARNs work all the same, but their
            model and price are not known then), then names, modalities and streaming, then lifecycles, then
            destination regions.

    Returns:
        None where even the last step does not fit.
    """
    for count in _OMIT_COUNTS:
        omitted = _OMITTABLE[:count]
        document = _document(_without(learned, bundle, omitted), bundle, bundled_checksum, package_version, omitted)
        for layout in ({"indent": 1}, {"separators": (",", ":")}):
            text = json.dumps(document, ensure_ascii=False, **layout)
            if max_bytes is None or len(text.encode()) <= max_bytes:
                return text
    return None


def learned_from_text(text: str, bundle: Catalog, *, bundled_checksum: str) -> Learned:
    """Read the document.

    A document over another bundle keeps only what is no difference: which regions failed or denied.

    Raises:
        CatalogError: not the document, another schema version, edited by hand, or damaged; the message says which.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CatalogError(f"It is not JSON ({error}).") from error
    if not isinstance(document, dict):
        raise CatalogError("It is not a JSON object.")
    version = document.get("schema_version")
    if version != LEARNED_SCHEMA_VERSION:
        raise CatalogError(f"It has schema_version={version!r}, and this package reads {LEARNED_SCHEMA_VERSION}.")
    if document.get("checksum") != _checksum(document):
        raise CatalogError("Its checksum does not fit: it was edited or cut off.")
    try:
        return _read(document, bundle, bundled_checksum)
    except (TypeError, ValueError, KeyError, AttributeError, ModelIdError) as error:
        raise CatalogError(f"It does not have the form of a catalog ({type(error).__name__}: {error}).") from error


def _document(
    learned: Learned, bundle: Catalog, bundled_checksum: str, package_version: str, omitted: Sequence[str]
) -> dict[str, Any]:
    patch, usual = _pack_destinations(learned, bundle)
    region_lists = _share_region_lists(patch)
    document: dict[str, Any] = {
        "description": _DESCRIPTION,
        "schema_version": LEARNED_SCHEMA_VERSION,
        "package_version": package_version,
        "bundled_checksum": bundled_checksum,
        "regions": _by_time(learned.regions),
        "failed": {
            region: {
                "at": failure.at.isoformat(),
                "code": failure.code,
                "message": failure.message[:_MESSAGE_CHARACTERS],
            }
            | ({"denied": True} if failure.denied else {})
            for region, failure in sorted(learned.failed.items())
        },
        "usual_destinations": usual,
        "region_lists": region_lists,
        "models": patch,
    }
    if omitted:
        document["omitted"] = list(omitted)
    document["checksum"] = _checksum(document)
    return document


def _read(document: Mapping[str, Any], bundle: Catalog, bundled_checksum: str) -> Learned:
    failed = {
        region: RegionFailure(
            datetime.fromisoformat(raw["at"]), str(raw["code"]), str(raw["message"]), bool(raw.get("denied", False))
        )
        for region, raw in document["failed"].items()
    }
    if document["bundled_checksum"] != bundled_checksum:
        return replace(NOTHING_LEARNED, failed=failed)
    for change in document["models"].values():
        if change is not None and (strange := sorted(change.keys() - _LEARNABLE)):
            raise ValueError(f"{strange[0]!r} is nothing that AWS tells about a model")
    regions = {region: datetime.fromisoformat(at) for at, asked in document["regions"].items() for region in asked}
    patch = copy.deepcopy(document["models"])
    _write_out_region_lists(patch, document["region_lists"])
    learned = Learned(patch, regions, failed)
    learned = _unpack_destinations(learned, bundle, document["usual_destinations"])
    catalog = learned.over(bundle)
    for model_id in learned.patch:
        catalog.card(model_id)
    if naive := [at for at in regions.values() if at.tzinfo is None]:
        raise ValueError(f"{naive[0]} has no time zone")
    return learned


def _checksum(document: Mapping[str, Any]) -> str:
    return checksum_of({key: value for key, value in document.items() if key != "checksum"})


def _by_time(regions: Mapping[str, datetime]) -> dict[str, list[str]]:
    by_time: dict[str, list[str]] = {}
    for region, at in sorted(regions.items()):
        by_time.setdefault(at.isoformat(timespec="seconds"), []).append(region)
    return by_time


def _geo_profiles(
    models: Mapping[str, Any], regions: Mapping[str, datetime]
) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """(model id, profile id, geo, entry) of every geo profile that an asked region offers."""
    for model_id, raw in models.items():
        for sent_id, profile in raw.get("profiles", {}).items():
            geo = parse_model_id(sent_id).geo
            if geo not in {None, "global"} and not regions.keys().isdisjoint(profile["source_regions"]):
                yield model_id, sent_id, str(geo), profile


def _region_lists(patch: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """(object, key) of every list of regions in the profiles of a patch."""
    for change in patch.values():
        for profile in ((change or {}).get("profiles") or {}).values():
            if profile and "source_regions" in profile:
                yield profile, "source_regions"
            destinations = (profile or {}).get("destinations") or {}
            yield from ((destinations, source) for source, to in destinations.items() if to is not None)


def _share_region_lists(patch: Mapping[str, Any]) -> dict[str, list[str]]:
    """Put a name in the place of a list that stands there more than once. Returns name -> list."""
    counted = Counter(tuple(place[key]) for place, key in _region_lists(patch))
    names = {
        regions: f"list {number}"
        for number, (regions, count) in enumerate(counted.most_common(), start=1)
        if count > 1 and len(regions) > 1
    }
    for place, key in list(_region_lists(patch)):
        place[key] = names.get(tuple(place[key]), place[key])
    return {name: list(regions) for regions, name in names.items()}


def _write_out_region_lists(patch: Mapping[str, Any], lists: Mapping[str, list[str]]) -> None:
    for place, key in list(_region_lists(patch)):
        if isinstance(place[key], str):
            place[key] = list(lists[place[key]])


def _pack_destinations(learned: Learned, bundle: Catalog) -> tuple[dict[str, Any], dict[str, dict[str, list[str]]]]:
    """Leave out of each profile what is usual for its geo prefix and source region."""
    models = copy.deepcopy(dict(learned.over(bundle).models))
    asked = learned.regions.keys()
    counted: dict[str, dict[str, Counter[tuple[str, ...]]]] = {}
    for _, _, geo, profile in _geo_profiles(models, learned.regions):
        for source, to in spread_destinations(profile, asked).items():
            counted.setdefault(geo, {}).setdefault(source, Counter())[tuple(to)] += 1
    usual = {
        geo: {source: list(frequent.most_common(1)[0][0]) for source, frequent in by_source.items()}
        for geo, by_source in counted.items()
    }
    for _, _, geo, profile in _geo_profiles(models, learned.regions):
        told = spread_destinations(profile, asked)
        profile.pop("destinations", None)
        unusual = {
            source: told.get(source, _NOT_TOLD)
            for source in sorted(asked & set(profile["source_regions"]))
            if told.get(source, _NOT_TOLD) != usual.get(geo, {}).get(source, _NOT_TOLD)
        }
        if unusual:
            profile["destinations"] = unusual
    return make_patch(bundle.models, models), {geo: fold_destinations(told) for geo, told in sorted(usual.items())}


def _unpack_destinations(learned: Learned, bundle: Catalog, usual: Mapping[str, Mapping[str, list[str]]]) -> Learned:
    patch = copy.deepcopy(dict(learned.patch))
    asked = learned.regions.keys()
    for model_id, sent_id, geo, profile in _geo_profiles(learned.over(bundle).models, learned.regions):
        unusual = profile.get("destinations", {})
        of_geo = usual.get(geo, {})
        told = {
            source: to
            for source in asked & set(profile["source_regions"])
            if (to := unusual.get(source, of_geo.get(source, of_geo.get("*", _NOT_TOLD)))) != _NOT_TOLD
        }
        if told or unusual:
            change = patch.setdefault(model_id, {}).setdefault("profiles", {}).setdefault(sent_id, {})
            change["destinations"] = fold_destinations(told) or None
    return replace(learned, patch=patch)


def _without(learned: Learned, bundle: Catalog, omitted: Sequence[str]) -> Learned:
    patch = copy.deepcopy(dict(learned.patch))
    for model_id, change in list(patch.items()):
        if change is None or not omitted:
            continue
        known = model_id in bundle.models
        for key in omitted:
            if known or key == "lifecycle":
                change.pop(key, None)
        if profiles := {
            sent_id: profile
            for sent_id, profile in change.pop("profiles", {}).items()
            if not ("application_profiles" in omitted and is_arn(sent_id))
        }:
            change["profiles"] = profiles
        if "destinations" in omitted:
            for profile in filter(None, profiles.values()):
                profile.pop("destinations", None)
        if known and not change:
            del patch[model_id]
    return replace(learned, patch=patch)
