"""Direct, regional profile, global profile; and data that stays where it should."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bedrock_llm.core.access import (
    AccessMethod,
    AccessOption,
    access_options,
    options_for,
    preference_for_call,
    residency_regions,
    takes_global_profile,
)
from airflow_provider_bedrock_llm.core.catalog import Catalog, ResolvedModel
from airflow_provider_bedrock_llm.core.model_card import ModelCard
from airflow_provider_bedrock_llm.core.model_id import parse_model_id

MODEL = "anthropic.claude-sonnet-4-6"
DIRECT, REGIONAL, GLOBAL = AccessMethod.DIRECT, AccessMethod.REGIONAL_PROFILE, AccessMethod.GLOBAL_PROFILE


def card(*, asked=(), account=(), **raw):
    return ModelCard.from_dict(MODEL, raw, asked_regions=frozenset(asked), account_regions=frozenset(account))


EVERYWAY = card(
    direct_regions={"eu-central-1": "aws_api", "ap-northeast-1": "litellm_price"},
    profiles={
        f"eu.{MODEL}": {"source_regions": ["eu-central-1", "eu-west-1", "eu-west-2"]},
        f"apac.{MODEL}": {"source_regions": ["ap-northeast-1", "ap-northeast-3"], "assumed": True},
        f"jp.{MODEL}": {"source_regions": ["ap-northeast-1"]},
        f"global.{MODEL}": {"source_regions": ["eu-central-1", "ap-northeast-1"]},
        "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/a1b2c3d4e5f6": {
            "source_regions": ["eu-central-1"]
        },
    },
    asked=["eu-central-1", "eu-west-1", "ap-northeast-1"],
)


def ids(options):
    return [option.model_id.removesuffix(f".{MODEL}") for option in options]


@pytest.mark.parametrize(
    ("region", "preference", "expected"),
    [
        ("eu-central-1", (DIRECT, REGIONAL, GLOBAL), [MODEL, "eu", "global"]),
        ("eu-central-1", (GLOBAL, REGIONAL, DIRECT), ["global", "eu", MODEL]),
        ("eu-central-1", (REGIONAL,), ["eu"]),
        ("eu-central-1", (REGIONAL, REGIONAL), ["eu"]),
        ("eu-west-1", (DIRECT, REGIONAL, GLOBAL), ["eu"]),
        ("eu-west-1", (DIRECT, GLOBAL), []),
        ("eu-west-1", (), []),
    ],
)
def test_the_callers_order_of_methods_is_kept(region, preference, expected):
    assert ids(access_options(EVERYWAY, region, preference)) == expected


def test_what_aws_confirmed_comes_before_what_is_assumed():
    options = access_options(EVERYWAY, "ap-northeast-1", (REGIONAL,))
    assert options == (
        AccessOption(f"jp.{MODEL}", REGIONAL),
        AccessOption(f"apac.{MODEL}", REGIONAL, assumed=True),
    )


def test_a_region_of_which_only_a_price_is_known_is_assumed():
    assert access_options(EVERYWAY, "ap-northeast-1", (DIRECT,)) == (AccessOption(MODEL, DIRECT, assumed=True),)


def test_a_region_that_nobody_asked_about_gives_the_usual_ids_as_assumed():
    options = access_options(EVERYWAY, "ap-southeast-2")
    assert ids(options) == [MODEL, "au", "apac", "global"]
    assert all(option.assumed for option in options)
    assert ids(access_options(EVERYWAY, "sa-east-1", (REGIONAL, GLOBAL))) == ["global"]
    assert ids(access_options(EVERYWAY, "us-gov-west-1", (GLOBAL, REGIONAL))) == ["us-gov"]


def test_a_model_that_asked_for_a_profile_is_no_longer_called_directly_there():
    known = card(
        direct_regions={"eu-central-1": "aws_api"},
        profiles={f"eu.{MODEL}": {"source_regions": ["eu-central-1"]}},
        profile_required={"eu-central-1": True, "us-east-1": True},
        asked=["eu-central-1"],
    )
    assert ids(access_options(known, "eu-central-1")) == ["eu"]
    assert ids(access_options(known, "us-east-1")) == ["us", "global"]


def test_what_this_account_was_asked_about_is_not_assumed():
    raw = {"profiles": {f"us.{MODEL}": {"source_regions": ["us-east-1"], "assumed": True}}}
    own = ModelCard.from_dict(MODEL, raw, account_regions=frozenset({"us-east-1"}))
    assert access_options(own, "us-east-1") == (AccessOption(f"us.{MODEL}", REGIONAL),)
    assert access_options(card(**raw), "us-east-1") == (AccessOption(f"us.{MODEL}", REGIONAL, assumed=True),)


def test_a_region_where_aws_was_asked_and_has_no_such_model_gives_nothing():
    assert access_options(card(asked=["us-east-1"]), "us-east-1") == ()


@given(st.integers(0, 10_000), st.integers(0, 1000))
def test_the_fraction_for_the_global_profile_is_kept_exactly_over_many_calls(calls, thousandths):
    fraction = thousandths / 1000
    taken = sum(takes_global_profile(number, fraction) for number in range(calls))
    assert taken == calls * thousandths // 1000


def test_the_global_profile_comes_first_for_its_fraction_and_last_for_the_other_calls():
    allowed = (GLOBAL, DIRECT, REGIONAL)
    firsts = [preference_for_call(allowed, number, 0.25)[0] for number in range(8)]
    assert firsts == [DIRECT, DIRECT, DIRECT, GLOBAL] * 2
    assert preference_for_call(allowed, 0, 0.25) == (DIRECT, REGIONAL, GLOBAL)
    assert preference_for_call((DIRECT,), 3, 1.0) == (DIRECT,)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_a_fraction_outside_of_zero_to_one_is_refused(fraction):
    with pytest.raises(ValueError, match=r"between 0\.0 and 1\.0"):
        takes_global_profile(0, fraction)


class TestResidency:
    def kept(self, region, residency, model=EVERYWAY):
        return ids(
            options_for(ResolvedModel(MODEL, parse_model_id(MODEL), model, False), region, data_residency=residency)
        )

    def test_data_that_must_stay_in_the_eu_never_takes_the_global_profile(self):
        assert self.kept("eu-central-1", "eu") == [MODEL, "eu"]

    def test_london_and_zurich_are_not_in_the_eu(self):
        assert residency_regions("eu", ["eu-west-2", "eu-central-2", "eu-west-3"]) == {"eu-west-3"}
        assert self.kept("eu-west-2", "eu") == []

    def test_a_region_elsewhere_gives_nothing(self):
        assert self.kept("ap-northeast-1", "eu") == []

    def test_a_profile_of_a_country_stays_in_its_part_of_the_world_but_not_the_other_way_round(self):
        assert self.kept("ap-northeast-1", "apac") == [MODEL, "jp", "apac"]
        assert self.kept("ap-northeast-1", "jp") == [MODEL, "jp"]

    @pytest.mark.parametrize(
        ("destinations", "kept"),
        [
            (["eu-central-1", "eu-west-3"], ["eu"]),
            (["eu-central-1", "eu-west-2"], []),
            (["eu-central-1", "us-east-1"], []),
        ],
    )
    def test_known_destination_regions_decide_over_the_prefix(self, destinations, kept):
        model = card(
            profiles={f"eu.{MODEL}": {"source_regions": ["eu-central-1"], "destinations": {"*": destinations}}},
            account=["eu-central-1"],
        )
        assert self.kept("eu-central-1", "eu", model) == kept

    def test_a_place_that_is_not_known_is_refused(self):
        with pytest.raises(ValueError, match="data_residency='mars'"):
            residency_regions("mars", ["eu-west-1"])

    @pytest.mark.parametrize(
        ("residency", "region"),
        [("us", "us-west-2"), ("us-gov", "us-gov-west-1"), ("ca", "ca-central-1"), ("au", "ap-southeast-2")],
    )
    def test_places_have_their_own_regions(self, residency, region):
        every = ["us-west-2", "us-gov-west-1", "ca-central-1", "ap-southeast-2", "eu-west-1"]
        assert residency_regions(residency, every) == {region}


class TestNamedByTheCaller:
    ACCOUNT = "arn:aws:bedrock:eu-central-1:123456789012:"
    APPLICATION = ACCOUNT + "application-inference-profile/a1b2c3d4e5f6"
    CATALOG = Catalog(
        {
            MODEL: {
                "sources": ["snapshot"],
                "direct_regions": {"eu-central-1": "aws_api"},
                "profiles": {
                    f"eu.{MODEL}": {"source_regions": ["eu-central-1"]},
                    f"us.{MODEL}": {"source_regions": ["us-east-1"], "assumed": True},
                    APPLICATION: {"source_regions": ["eu-central-1"], "destinations": {"*": ["eu-central-1"]}},
                },
            }
        },
        {"account": frozenset({"eu-central-1", "eu-west-1"})},
    )

    def options(self, name, region, preference=(DIRECT, REGIONAL, GLOBAL), **kept):
        return options_for(self.CATALOG.resolve(name), region, preference, **kept)

    def test_a_base_id_is_reached_as_the_caller_prefers(self):
        assert ids(self.options(MODEL, "eu-central-1")) == [MODEL, "eu"]
        assert ids(self.options(MODEL, "eu-central-1", (REGIONAL, DIRECT))) == ["eu", MODEL]

    def test_a_profile_that_was_named_is_sent_whatever_the_preference(self):
        option = AccessOption(f"eu.{MODEL}", REGIONAL)
        assert self.options(f"eu.{MODEL}", "eu-central-1", (DIRECT,)) == (option,)

    def test_a_profile_is_not_sent_where_aws_was_asked_and_does_not_offer_it(self):
        assert self.options(f"eu.{MODEL}", "eu-west-1") == ()
        assert self.options(f"global.{MODEL}", "eu-central-1") == ()

    def test_a_profile_is_tried_where_nobody_asked(self):
        tried = (AccessOption(f"us.{MODEL}", REGIONAL, assumed=True),)
        assert self.options(f"us.{MODEL}", "us-east-1") == tried
        assert self.options(f"us.{MODEL}", "us-west-2") == tried

    @pytest.mark.parametrize(
        ("arn", "method"),
        [
            (APPLICATION, REGIONAL),
            (ACCOUNT + "provisioned-model/a1b2c3d4e5f6", DIRECT),
            (ACCOUNT + f"inference-profile/global.{MODEL}", GLOBAL),
        ],
    )
    def test_an_arn_is_sent_in_its_own_region_and_nowhere_else(self, arn, method):
        assert self.options(arn, "eu-central-1", ()) == (AccessOption(arn, method),)
        assert self.options(arn, "eu-west-1") == ()

    def test_an_id_that_the_catalog_does_not_know_is_tried_as_the_caller_prefers(self):
        assert self.options("acme.new-v1:0", "eu-west-1", (DIRECT, REGIONAL)) == (
            AccessOption("acme.new-v1:0", DIRECT, assumed=True),
            AccessOption("eu.acme.new-v1:0", REGIONAL, assumed=True),
        )

    @pytest.mark.parametrize(
        ("name", "stays"),
        [
            (APPLICATION, True),
            (ACCOUNT + "provisioned-model/a1b2c3d4e5f6", True),
            (ACCOUNT + "inference-profile/eu.acme.new-v1:0", True),
            ("eu.acme.new-v1:0", True),
            ("acme.new-v1:0", True),
            (ACCOUNT + f"inference-profile/global.{MODEL}", False),
            (ACCOUNT + "application-inference-profile/ffffffffffff", False),
            (ACCOUNT + "prompt-router/a1b2c3d4e5f6", False),
            ("us.acme.new-v1:0", False),
        ],
    )
    def test_what_is_not_known_to_stay_in_the_eu_is_not_sent(self, name, stays):
        assert bool(self.options(name, "eu-central-1", data_residency="eu")) is stays

    def test_a_region_outside_of_the_eu_is_not_called(self):
        assert self.options("acme.new-v1:0", "eu-west-2", data_residency="eu") == ()
