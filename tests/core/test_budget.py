"""A budget is never exceeded by more than what was in flight."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bedrock_llm.core.budget import Budget, Purse


@pytest.mark.parametrize(
    ("given_as", "budget"),
    [
        (5, Budget(usd=5.0)),
        (0.25, Budget(usd=0.25)),
        ({"usd": 5}, Budget(usd=5)),
        ({"tokens": 10}, Budget(tokens=10)),
        ({"usd": 1.5, "tokens": 10}, Budget(1.5, 10)),
        (Budget(tokens=3), Budget(tokens=3)),
        (None, None),
    ],
)
def test_a_budget_can_be_given_in_several_forms(given_as, budget):
    assert Budget.of(given_as) == budget


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), {}, {"euro": 3}, "5", True, {"tokens": 0}])
def test_what_is_no_budget_is_refused(wrong):
    with pytest.raises(ValueError, match="budget"):
        Budget.of(wrong)


def test_before_the_first_answer_one_request_goes_alone():
    purse = Purse(Budget(usd=1.0))
    assert purse.has_room

    purse.start()

    assert not purse.has_room
    purse.settle(0.01, 100)
    assert purse.has_room


def test_room_is_set_aside_for_what_is_under_way():
    purse = Purse(Budget(usd=1.0))
    purse.start()
    purse.settle(0.25, 100)

    started = 0
    while purse.has_room:
        purse.start()
        started += 1

    assert started == 3
    assert not purse.is_spent


def test_what_earlier_runners_spent_counts():
    assert Purse(Budget(usd=1.0), spent_usd=1.0).is_spent
    assert Purse(Budget(tokens=100), spent_tokens=100).is_spent
    assert not Purse(Budget(usd=1.0), spent_usd=0.9, spent_tokens=10**9).is_spent


def test_an_answer_without_a_price_ends_a_budget_in_dollars_and_not_one_in_tokens():
    dollars, tokens = Purse(Budget(usd=1.0)), Purse(Budget(tokens=1_000))
    for purse in (dollars, tokens):
        purse.start()
        purse.settle(None, 10)

    assert dollars.is_spent
    assert "price is not known" in dollars.reason
    assert tokens.has_room


def test_what_failed_without_an_answer_teaches_nothing_about_the_price():
    purse = Purse(Budget(usd=1.0))
    purse.start()
    purse.settle(0.0, 0)

    purse.start()

    assert not purse.has_room


def test_the_reason_says_what_was_spent_and_how_to_go_on():
    purse = Purse(Budget(usd=1.0, tokens=500), spent_usd=0.998, spent_tokens=400)

    assert "budget=1 USD and 500 tokens is spent: 0.9980 USD and 400 tokens" in purse.reason
    assert "Raise the budget and run the task again" in purse.reason


@given(
    budget=st.floats(0.01, 100),
    spent=st.floats(0, 120),
    costs=st.lists(st.floats(0, 10), max_size=120),
    concurrency=st.integers(1, 20),
    order=st.randoms(use_true_random=False),
)
def test_no_more_is_spent_beyond_a_budget_than_what_was_in_flight(budget, spent, costs, concurrency, order):
    purse = Purse(Budget(usd=budget), spent_usd=spent)
    waiting, in_flight = list(costs), []
    bound = None
    while True:
        while waiting and len(in_flight) < concurrency and purse.has_room:
            purse.start()
            in_flight.append(waiting.pop())
        if not in_flight:
            break
        cost = in_flight.pop(order.randrange(len(in_flight)))
        if bound is None and purse.spent_usd + cost > budget:
            bound = cost + sum(in_flight)
        purse.settle(cost, 1)

    overspent = purse.spent_usd - max(budget, spent)
    assert overspent <= (bound or 0.0) + 1e-9
    assert not waiting or not purse.has_room


@given(costs=st.lists(st.integers(1, 1_000), min_size=1, max_size=100), budget=st.integers(1, 20_000))
def test_one_at_a_time_all_that_fits_is_asked(costs, budget):
    purse = Purse(Budget(tokens=budget))
    asked = 0
    for cost in costs:
        if not purse.has_room:
            break
        purse.start()
        purse.settle(None, cost)
        asked += 1

    mean = purse.spent_tokens / asked
    assert asked == len(costs) or purse.spent_tokens + mean > budget


def test_what_an_answer_costs_is_learned_from_earlier_runners_too():
    purse = Purse(Budget(usd=1.0), spent_usd=0.95, spent_tokens=100, answers=10)

    assert not purse.has_room
    assert not purse.is_spent
