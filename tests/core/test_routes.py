"""Models, regions and ways of access become an order in which a request is tried."""

import itertools

import pytest
from harness.routes import direct_only, direct_or_profile, make_plan
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bedrock_llm.core.config import RegionOrder, RetryConfig, RetryStrategy
from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.core.routes import ModelChoice, RoutePlan, RoutePlans, order_regions, plan_routes

REGIONS = ["us-east-1", "eu-west-1", "ap-south-1"]
MODEL_FIRST = RetryConfig(retry_strategy=RetryStrategy.MODEL_FIRST)


def planned(models, regions, retry=None, options=direct_only):
    choices = [model if isinstance(model, ModelChoice) else ModelChoice(model) for model in models]
    return [(route.model_id, route.region) for route in plan_routes(choices, regions, retry or RetryConfig(), options)]


def test_region_first_keeps_the_model_as_long_as_a_region_is_left():
    assert planned(["a", "b"], REGIONS[:2]) == [
        ("a", "us-east-1"),
        ("a", "eu-west-1"),
        ("b", "us-east-1"),
        ("b", "eu-west-1"),
    ]


def test_model_first_keeps_the_region_as_long_as_a_model_is_left():
    assert planned(["a", "b"], REGIONS[:2], MODEL_FIRST) == [
        ("a", "us-east-1"),
        ("b", "us-east-1"),
        ("a", "eu-west-1"),
        ("b", "eu-west-1"),
    ]


def test_ways_of_access_come_in_their_order_within_a_region():
    routes = plan_routes([ModelChoice("a")], REGIONS[:1], RetryConfig(), direct_or_profile)
    assert [(route.model_id, route.access) for route in routes] == [("a", "direct"), ("us.a", "regional_profile")]
    assert {route.model for route in routes} == {"a"}


@pytest.mark.parametrize(
    ("retry", "expected"),
    [(RetryConfig(), "a/r1 a/r2 us.a/r1 us.a/r2 b/r1 b/r2"), (MODEL_FIRST, "a/r1 b/r1 us.a/r1 us.b/r1 a/r2 b/r2")],
)
def test_another_way_to_the_same_model_comes_after_other_places(retry, expected):
    keys = planned(["a", "b"], ["r1", "r2"], retry, direct_or_profile)
    assert " ".join("/".join(key) for key in keys).startswith(expected)


def test_another_region_comes_before_another_way_of_access():
    assert planned(["a"], REGIONS[:2], options=direct_or_profile) == [
        ("a", "us-east-1"),
        ("a", "eu-west-1"),
        ("us.a", "us-east-1"),
        ("us.a", "eu-west-1"),
    ]


@pytest.mark.parametrize("retry", [RetryConfig(), MODEL_FIRST])
def test_a_model_with_its_own_region_is_asked_only_there(retry):
    pinned = ModelChoice("b", "eu-central-1")
    assert [pair for pair in planned(["a", pinned], REGIONS, retry) if pair[0] == "b"] == [("b", "eu-central-1")]


@pytest.mark.parametrize("retry", [RetryConfig(), MODEL_FIRST])
def test_models_with_their_own_regions_need_no_other(retry):
    assert planned([ModelChoice("a", "us-east-1"), ModelChoice("b", "eu-west-1")], [], retry) == [
        ("a", "us-east-1"),
        ("b", "eu-west-1"),
    ]


def test_settings_of_a_model_travel_with_its_routes():
    choice = ModelChoice("a", None, {"temperature": 0.5})
    (route,) = plan_routes([choice], REGIONS[:1], RetryConfig(), direct_only)
    assert route.choice.inference_config == {"temperature": 0.5}


def test_an_id_in_a_region_is_one_route_however_often_it_is_named():
    assert planned(["a", "a"], ["us-east-1", "us-east-1"]) == [("a", "us-east-1")]


def test_regions_without_the_model_have_no_route():
    def only_in_europe(model, region):
        return direct_only(model, region) if region.startswith("eu-") else ()

    assert planned(["a"], REGIONS, options=only_in_europe) == [("a", "eu-west-1")]


@pytest.mark.parametrize(
    ("models", "regions", "named"),
    [([], REGIONS, "models="), (["a"], [], "regions="), (["a"], REGIONS, "airflow bedrock-llm models")],
)
def test_a_plan_without_routes_says_what_to_give(models, regions, named):
    with pytest.raises(ConfigurationError, match=named):
        planned(models, regions, options=lambda model, region: ())


def test_a_plan_fails_when_it_is_made_and_not_at_the_first_request():
    with pytest.raises(ConfigurationError):
        make_plan(options=lambda model, region: ())


def test_the_regions_of_a_pinned_model_are_named_where_nothing_works():
    with pytest.raises(ConfigurationError, match="eu-central-1"):
        planned([ModelChoice("a", "eu-central-1")], [], options=lambda model, region: ())


def test_fixed_regions_stay():
    assert [order_regions(REGIONS, RegionOrder.FIXED, turn) for turn in range(3)] == [REGIONS] * 3


def test_rotated_regions_each_come_first_equally_often():
    firsts = [order_regions(REGIONS, RegionOrder.ROTATE, turn)[0] for turn in range(300)]
    assert {firsts.count(region) for region in REGIONS} == {100}


def test_shuffled_regions_each_come_first_about_equally_often():
    firsts = [order_regions(REGIONS, RegionOrder.SHUFFLE, turn)[0] for turn in range(3000)]
    assert all(900 < firsts.count(region) < 1100 for region in REGIONS)


@given(st.lists(st.text(min_size=1), unique=True), st.sampled_from(RegionOrder), st.integers(0, 10**9))
def test_an_order_has_every_region_once_and_is_repeatable(regions, order, turn):
    ordered = order_regions(regions, order, turn)
    assert sorted(ordered) == sorted(regions)
    assert ordered == order_regions(regions, order, turn)


def test_a_plan_looks_each_order_up_once():
    asked = []

    def options(model, region):
        asked.append(region)
        return direct_only(model, region)

    plan = make_plan(regions=REGIONS, options=options)
    first = plan.routes(REGIONS)
    assert plan.routes(tuple(REGIONS)) is first
    assert asked == REGIONS


def test_a_plan_does_not_remember_more_orders_than_it_needs():
    regions = [f"region-{number}" for number in range(9)]
    plan = make_plan(regions=regions, retry=RetryConfig(region_order=RegionOrder.SHUFFLE))
    for turn in range(3000):
        assert len(plan.routes(plan.order(turn))) == 9
    assert len(plan._planned) <= 500


def test_orders_that_come_from_elsewhere_are_not_remembered_without_end():
    regions = [f"region-{number}" for number in range(7)]
    plan = make_plan(regions=regions)
    for order in itertools.permutations(regions):
        assert [route.region for route in plan.routes(order)] == list(order)
    assert len(plan._planned) <= 500


def test_an_order_can_be_given_instead_of_the_configured_one():
    plan = make_plan(regions=REGIONS)
    assert list(plan.order(1)) == REGIONS
    assert list(plan.order(1, RegionOrder.ROTATE)) == [*REGIONS[1:], REGIONS[0]]


def test_the_key_of_a_route_is_what_is_sent_and_where():
    (route,) = RoutePlan([ModelChoice("a")], ["us-east-1"], RetryConfig(), direct_only).routes(["us-east-1"])
    assert route.key == ("a", "us-east-1")
    assert str(route) == "a in us-east-1"


def plans_of(*known):
    """Plans for the models that are known, and the names for which one was made."""
    made = []

    def plan_for(models):
        made.append(tuple(models))
        if unknown := [model for model in models if isinstance(model, str) and model not in known]:
            raise ConfigurationError(f"{unknown[0]} is not known.")
        return make_plan(models)

    return RoutePlans(make_plan(["common"]), plan_for), made


def models_of(plans, models):
    return [choice.model for choice in plans.find(models)[1].choices]


def test_a_request_that_names_no_models_has_the_common_plan():
    plans, made = plans_of("a")
    assert models_of(plans, ()) == ["common"]
    assert made == []


def test_models_that_come_again_are_planned_once():
    plans, made = plans_of("a", "b")
    assert [models_of(plans, models) for models in (["a", "b"], ["b"], ("a", "b"))] == [["a", "b"], ["b"], ["a", "b"]]
    assert made == [("a", "b"), ("b",)]
    assert plans.find(["a", "b"])[0] != plans.find(["b", "a"])[0]


def test_the_settings_of_a_model_make_another_plan():
    plans, made = plans_of("a")
    east, west = ({"model": "a", "region": region} for region in REGIONS[:2])
    assert [plans.find([model])[1].choices[0].region for model in (east, west, east)] == [*REGIONS[:2], REGIONS[0]]
    assert len(made) == 2


def test_a_name_that_nobody_knows_is_looked_up_once():
    plans, made = plans_of("a")
    for _ in range(3):
        with pytest.raises(ConfigurationError, match="nonsense is not known"):
            plans.find(["nonsense"])
    assert made == [("nonsense",)]


def test_where_no_models_can_be_named_naming_some_is_an_error():
    with pytest.raises(ConfigurationError, match="Leave `models` of the request empty"):
        RoutePlans(make_plan()).find(["a"])


def test_the_plans_that_are_kept_are_bounded():
    names = [f"m{number}" for number in range(1200)]
    plans, _ = plans_of(*names)
    for name in names:
        plans.find([name])
    assert len(plans._planned) <= 500
    assert models_of(plans, ["m0"]) == ["m0"]
