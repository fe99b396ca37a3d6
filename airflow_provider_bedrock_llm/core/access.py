"""How a model is reached in a region: directly, through a regional inference profile, or through the global one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import TYPE_CHECKING

from airflow_provider_bedrock_llm.core.model_id import ModelIdKind, parse_model_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_bedrock_llm.core.catalog import ResolvedModel
    from airflow_provider_bedrock_llm.core.model_card import InferenceProfile, ModelCard

__all__ = [
    "DEFAULT_PREFERENCE",
    "AccessMethod",
    "AccessOption",
    "access_options",
    "options_for",
    "preference_for_call",
    "residency_regions",
    "takes_global_profile",
]


class AccessMethod(Enum):
    """What is sent as `modelId`."""

    DIRECT = "direct"
    REGIONAL_PROFILE = "regional_profile"
    GLOBAL_PROFILE = "global_profile"


DEFAULT_PREFERENCE = (AccessMethod.DIRECT, AccessMethod.REGIONAL_PROFILE, AccessMethod.GLOBAL_PROFILE)


@dataclass(frozen=True, slots=True)
class AccessOption:
    """One way to reach a model in a region.

    Attributes:
        model_id: what is sent.
        access: by which method.
        assumed: nobody asked AWS about this region; it may answer that the model is not there.
    """

    model_id: str
    access: AccessMethod
    assumed: bool = False


def access_options(
    card: ModelCard, region: str, preference: tuple[AccessMethod, ...] = DEFAULT_PREFERENCE
) -> tuple[AccessOption, ...]:
    """The ways to reach a model in a region, best first.

    Args:
        card: the model.
        region: where the request is sent.
        preference: the methods that the caller allows, in order.

    Returns:
        Within a method, what AWS confirmed comes before what is assumed, and the profile with fewer regions first.
        Empty where the model cannot be reached so. Where nobody asked AWS and nothing that the caller allows is
        known, the ids that would be usual there, marked as assumed.
    """
    options: list[AccessOption] = []
    for method in dict.fromkeys(preference):
        if method is AccessMethod.DIRECT:
            if region in card.direct_regions and region not in card.profile_required:
                options.append(AccessOption(card.model_id, method, card.direct_regions[region] == "litellm_price"))
            continue
        usable = [
            (_is_assumed(card, profile, region), len(profile.source_regions), profile.model_id)
            for profile in card.profiles
            if region in profile.source_regions
            and not profile.is_application
            and profile.is_global is (method is AccessMethod.GLOBAL_PROFILE)
        ]
        options.extend(AccessOption(model_id, method, assumed) for assumed, _, model_id in sorted(usable))
    if options or region in card.asked_regions:
        return tuple(options)
    usual = _usual_options(card.model_id, region, preference)
    if region in card.profile_required:
        usual = tuple(option for option in usual if option.access is not AccessMethod.DIRECT)
    return usual


def _is_assumed(card: ModelCard, profile: InferenceProfile, region: str) -> bool:
    return profile.assumed and region not in card.account_regions


_USUAL_GEOS = (
    # region prefix -> geo prefixes of the profiles that can usually be called there, the narrower first
    ("us-gov-", ("us-gov",)),
    ("us-", ("us",)),
    ("ca-central-1", ("ca", "us")),
    ("eu-", ("eu",)),
    ("ap-northeast-1", ("jp", "apac")),
    ("ap-northeast-3", ("jp", "apac")),
    ("ap-southeast-2", ("au", "apac")),
    ("ap-southeast-4", ("au", "apac")),
    ("ap-south-", ("in", "apac")),
    ("ap-", ("apac",)),
)


def _usual_options(base_id: str, region: str, preference: tuple[AccessMethod, ...]) -> tuple[AccessOption, ...]:
    """What is worth a try where nothing is known; a try that fails costs no tokens."""
    geos = next((geos for prefix, geos in _USUAL_GEOS if region.startswith(prefix)), ())
    ids = {
        AccessMethod.DIRECT: (base_id,),
        AccessMethod.REGIONAL_PROFILE: tuple(f"{geo}.{base_id}" for geo in geos),
        AccessMethod.GLOBAL_PROFILE: () if region.startswith("us-gov-") else (f"global.{base_id}",),
    }
    return tuple(
        AccessOption(model_id, method, assumed=True) for method in dict.fromkeys(preference) for model_id in ids[method]
    )


def options_for(
    resolved: ResolvedModel,
    region: str,
    preference: tuple[AccessMethod, ...] = DEFAULT_PREFERENCE,
    *,
    data_residency: str | None = None,
) -> tuple[AccessOption, ...]:
    """The ways to reach what a name stands for, in a region, best first. This is what routes are planned with.

    An inference profile or ARN that the caller named is sent as it is, whatever the preference, and only where it can
    work: an ARN in its own region, a profile not where AWS was asked and does not offer it.

    Args:
        resolved: what `Catalog.resolve` gave.
        region: where the request is sent.
        preference: the methods that the caller allows, in order.
        data_residency: a place that requests must not leave, such as `eu`; see `residency_regions`. The region lies
            there, and so do all regions to which AWS said that a profile may send a request. Where AWS was not asked,
            its promise for the geo prefix counts: a request of an `eu.` profile that comes from the EU is run there.
    """
    card = resolved.card
    if resolved.pinned:
        options = _pinned_option(resolved, region)
    elif card is None:
        options = _usual_options(resolved.model_id.text, region, preference)
    else:
        options = access_options(card, region, preference)
    if data_residency is None:
        return options
    return tuple(option for option in options if _keeps_to(resolved, region, option, data_residency))


def _pinned_option(resolved: ResolvedModel, region: str) -> tuple[AccessOption, ...]:
    sent, card = resolved.model_id, resolved.card
    if sent.region not in {None, region}:
        return ()
    method = AccessMethod.DIRECT
    if sent.profile_id is not None:
        method = AccessMethod.GLOBAL_PROFILE if sent.geo == "global" else AccessMethod.REGIONAL_PROFILE
    profile = card.profile(sent.profile_id) if card and sent.profile_id else None
    known_here = bool(card and profile and region in profile.source_regions and not _is_assumed(card, profile, region))
    if card and not sent.is_arn and not known_here and region in card.asked_regions:
        return ()
    return (AccessOption(sent.text, method, assumed=not (known_here or sent.is_arn)),)


_RUNS_WHERE_IT_IS = frozenset(
    {
        ModelIdKind.BASE_MODEL,
        ModelIdKind.FOUNDATION_MODEL_ARN,
        ModelIdKind.CUSTOM_MODEL_ARN,
        ModelIdKind.CUSTOM_MODEL_DEPLOYMENT_ARN,
        ModelIdKind.IMPORTED_MODEL_ARN,
        ModelIdKind.PROVISIONED_MODEL_ARN,
        ModelIdKind.SAGEMAKER_ENDPOINT_ARN,
    }
)


def _keeps_to(resolved: ResolvedModel, region: str, option: AccessOption, residency: str) -> bool:
    if not residency_regions(residency, (region,)):
        return False
    sent = parse_model_id(option.model_id)
    if sent.kind in _RUNS_WHERE_IT_IS:
        return True
    card = resolved.card
    profile = (card.profile(sent.text) or card.profile(sent.profile_id or "")) if card else None
    destinations = profile.destinations_from(region) if card and profile and region in card.account_regions else None
    if destinations is not None:
        return residency_regions(residency, destinations) == destinations
    return sent.geo in _geos_within(residency)


def takes_global_profile(call_number: int, fraction: float) -> bool:
    """Whether the n-th call (from 0) goes through the global profile, so that the fraction is kept exactly.

    After n calls the number that went there is the fraction of n rounded down: never one call off, however many.

    Args:
        call_number: how many calls were made before this one.
        fraction: 0.0 to 1.0 of the calls.
    """
    if not 0.0 <= fraction <= 1.0:
        raise ValueError(
            f"The fraction of calls for the global profile lies between 0.0 and 1.0, and {fraction!r} does not. "
            "Correct global_profile_fraction."
        )
    exact = Fraction(str(fraction))
    return int((call_number + 1) * exact) > int(call_number * exact)


def preference_for_call(
    preference: tuple[AccessMethod, ...], call_number: int, global_fraction: float
) -> tuple[AccessMethod, ...]:
    """Put the global profile first for its fraction of the calls, and last, as a way out, for the others.

    Args:
        preference: the methods that the caller allows, in order. Where the global profile is not among them, nothing
            changes.
        call_number: how many calls were made before this one.
        global_fraction: 0.0 to 1.0 of the calls.
    """
    takes_global = takes_global_profile(call_number, global_fraction)
    if AccessMethod.GLOBAL_PROFILE not in preference:
        return preference
    others = tuple(method for method in preference if method is not AccessMethod.GLOBAL_PROFILE)
    return (AccessMethod.GLOBAL_PROFILE, *others) if takes_global else (*others, AccessMethod.GLOBAL_PROFILE)


# The European Union's regions: London and Zurich carry the eu- prefix and lie outside of it.
_EUROPEAN_UNION = (
    "eu-central-1",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-3",
    "eusc-de-east-1",
)
_REGION_PREFIXES = {
    "us": ("us-east-", "us-west-"),
    "us-gov": ("us-gov-",),
    "ca": ("ca-",),
    "apac": ("ap-",),
}
_COUNTRIES = {
    "jp": ("ap-northeast-1", "ap-northeast-3"),
    "au": ("ap-southeast-2", "ap-southeast-4"),
    "in": ("ap-south-1", "ap-south-2"),
}


def residency_regions(residency: str, regions: Iterable[str]) -> frozenset[str]:
    """Those of the regions that lie within a place: eu, us, us-gov, ca, jp, au, in or apac.

    Raises:
        ValueError: a place that is not known.
    """
    if residency == "eu":
        return frozenset(regions).intersection(_EUROPEAN_UNION)
    if residency in _COUNTRIES:
        return frozenset(regions).intersection(_COUNTRIES[residency])
    if residency in _REGION_PREFIXES:
        return frozenset(region for region in regions if region.startswith(_REGION_PREFIXES[residency]))
    known = ", ".join(sorted({"eu", *_COUNTRIES, *_REGION_PREFIXES}))
    raise ValueError(f"data_residency={residency!r} is not a known place. Give one of: {known}.")


def _geos_within(residency: str) -> frozenset[str]:
    return frozenset({residency, *_COUNTRIES}) if residency == "apac" else frozenset({residency})
