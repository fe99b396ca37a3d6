"""On demand, flex or batch: the choice is what trying everything would give, and says why."""

from __future__ import annotations

import itertools
import json

import pytest
from harness.mode_table import DEADLINES_HOURS, MODELS, ROWS, best_by_trying, estimate_of, facts_of

from airflow_provider_bedrock_llm.core.mode_choice import choose_mode


def _plan(rows, hours, prices, least=1.0, **facts):
    seconds = None if hours is None else hours * 3600
    return choose_mode(estimate_of(rows), facts_of(prices, **facts), deadline_seconds=seconds, least_saving_usd=least)


@pytest.mark.parametrize("least", [0.0, 1.0, 50.0])
@pytest.mark.parametrize("model", MODELS)
def test_the_choice_is_the_one_that_trying_everything_gives(model, least):
    for rows, hours in itertools.product((*ROWS, 99, 100, 333, 5_000_000), (*DEADLINES_HOURS, 24.0, 500.0)):
        plan = _plan(rows, hours, MODELS[model], least)
        assert plan.choice == best_by_trying(rows, hours, MODELS[model], least), (rows, hours)


def test_all_three_are_chosen_somewhere():
    cases = itertools.product(ROWS, DEADLINES_HOURS, MODELS.values())
    assert {_plan(*case).choice for case in cases} == {"on_demand", "flex", "batch"}


def test_what_batch_lacks_is_said_in_its_offer_and_something_else_is_chosen():
    plan = _plan(20_000, None, MODELS["large, batch"], missing="a role is missing")
    assert plan.choice == "on_demand"
    assert {offer.mode: offer.obstacle for offer in plan.offers}["batch"] == "a role is missing"
    assert "a role is missing" in plan.line


def test_too_few_rows_for_a_batch_job_are_said():
    plan = _plan(50, None, MODELS["large, batch"], least=0.0)
    assert "at least 100 records" in plan.line


def test_nothing_to_ask_costs_nothing_and_is_on_demand():
    plan = _plan(0, 1.0, MODELS["large, flex and batch"])
    assert (plan.choice, plan.chosen.usd.high, plan.chosen.seconds) == ("on_demand", 0.0, 0.0)


def test_the_plan_is_json_with_a_price_and_a_time_per_mode():
    plan = json.loads(json.dumps(_plan(20_000, None, MODELS["large, flex and batch"]).to_dict()))
    assert plan["choice"] == "batch"
    assert [sorted(offer) for offer in plan["offers"]] == [["mode", "obstacle", "seconds", "usd"]] * 3
    assert plan["offers"][2]["usd"]["likely"] == pytest.approx(27.0)
