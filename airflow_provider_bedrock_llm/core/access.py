"""How a model is reached in a region: directly, through a regional inference profile, or through the global one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import TYPE_CHECKING

from airflow_provider_bedrock_llm.core.model_id import ModelIdKind

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
    "residency_regions",
    "stays_within",
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
        Empty where the model cannot be reached so. A region where nobody asked AWS and nothing that the caller
        allows is known gives the direct call, marked as assumed, if the caller allows that.
    """
    options: list[AccessOption] = []
    for method in dict.fromkeys(preference):
        if method is AccessMethod.DIRECT:
            if region in card.direct_regions:
                options.append(AccessOption(card.model_id, method, card.direct_regions[region] == "litellm_price"))
            continue
        usable = [
            profile
            for profile in card.profiles
            if region in profile.source_regions
            and not profile.is_application
            and profile.is_global is (method is AccessMethod.GLOBAL_PROFILE)
        ]
        usable.sort(key=lambda profile: (profile.assumed, len(profile.source_regions), profile.model_id))
        options.extend(AccessOption(profile.model_id, method, profile.assumed) for profile in usable)
    if not options and AccessMethod.DIRECT in preference and region not in card.asked_regions:
        return (AccessOption(card.model_id, AccessMethod.DIRECT, assumed=True),)
    return tuple(options)


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
        data_residency: a place that requests must not leave, such as `eu`; see `residency_regions`.
    """
    card = resolved.card
    if resolved.pinned:
        options = _pinned_option(resolved, region)
    elif card is None:
        direct = AccessOption(resolved.model_id.text, AccessMethod.DIRECT, assumed=True)
        options = (direct,) if AccessMethod.DIRECT in preference else ()
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
    known_here = profile is not None and region in profile.source_regions and not profile.assumed
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
    if not resolved.pinned and resolved.card:
        return stays_within(resolved.card, region, option, residency)
    if not residency_regions(residency, (region,)):
        return False
    sent = resolved.model_id
    if sent.kind in _RUNS_WHERE_IT_IS:
        return True
    known = resolved.card.profile(sent.text) or resolved.card.profile(sent.profile_id or "") if resolved.card else None
    if known is not None:
        return _profile_stays(known, residency)
    return sent.geo is not None and sent.geo in _geos_within(residency)


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


def stays_within(card: ModelCard, region: str, option: AccessOption, residency: str) -> bool:
    """Whether a request sent to the region under this option is known to stay within a place.

    The region must lie there. A profile's destination regions must, too; where they are not known, AWS's promise for
    the geo prefix counts: requests of an `eu.` profile that come from the EU are run in the EU.
    """
    if not residency_regions(residency, (region,)):
        return False
    if option.access is AccessMethod.DIRECT:
        return True
    profile = card.profile(option.model_id)
    if profile is None or profile.is_global:
        return False
    return _profile_stays(profile, residency)


def _profile_stays(profile: InferenceProfile, residency: str) -> bool:
    if profile.destination_regions is None:
        return profile.geo in _geos_within(residency)
    return residency_regions(residency, profile.destination_regions) == profile.destination_regions


def _geos_within(residency: str) -> frozenset[str]:
    return frozenset({residency, *_COUNTRIES}) if residency == "apac" else frozenset({residency})
