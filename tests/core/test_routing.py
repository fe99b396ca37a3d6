"""Choosing: who fits, in which order, why, and always the same for the same record."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from airflow_provider_bedrock_llm.core.candidates import Candidate
from airflow_provider_bedrock_llm.core.errors import ConfigurationError, RequestValidationError
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.core.routing import Router, likeness, routing_identity
from airflow_provider_bedrock_llm.core.routing_rule import Routing, RoutingStrategy

SMALL = Candidate(
    "small", "a.small", size="7B", feature="chat", input_price=0.5, output_price=0.5, context_window_tokens=8_000,
    max_output_tokens=1_000, input_modalities=("TEXT",), capabilities=(),
)  # fmt: skip
LARGE = Candidate(
    "large", "a.large", size="70B", feature="code", input_price=3, output_price=15, context_window_tokens=200_000,
    input_modalities=("IMAGE", "TEXT"), capabilities=("tool_use",), aws_region="eu-west-1",
)  # fmt: skip
OTHER = Candidate("other", "org/other", "NVIDIA", size="8x7B", input_price=0.1, output_price=0.1)
CLOSED = Candidate("closed", "a.closed", input_price=1, output_price=1)
ALL = (SMALL, LARGE, OTHER, CLOSED)
HELLO = BedrockConverseRequest([text_message("hello")])
IMAGE = BedrockConverseRequest(
    [{"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": b"x"}}}, {"text": "What is it?"}]}]
)
TOOL = {"tools": [{"toolSpec": {"name": "t", "inputSchema": {"json": {}}}}]}


def choose(request=HELLO, candidates=ALL, likenesses=None, **rule):
    return Router(candidates, Routing(**rule), ("us-east-1",)).choose(request, likenesses)


def names(choice):
    return [one.name for one in choice.ranking]


def dearest(query, candidates):
    return max(candidates, key=lambda one: one.input_price).name


def upside_down(query, candidates):
    return [one.name for one in reversed(candidates)]


def broken(query, candidates):
    raise KeyError("model")


def stranger(query, candidates):
    return "nobody"


PATH = "test_routing"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """The functions of this file, under a name that a dotted path can have."""
    import sys

    monkeypatch.setitem(sys.modules, PATH, sys.modules[__name__])


@pytest.mark.parametrize(
    ("rule", "ranking"),
    [
        ({}, ["other", "small", "closed", "large"]),
        ({"strategy": "cheapest"}, ["other", "small", "closed", "large"]),
        ({"strategy": "smallest"}, ["small", "other", "large", "closed"]),
        ({"strategy": "largest"}, ["large", "other", "small", "closed"]),
        ({"strategy": "fixed"}, ["small", "large", "other", "closed"]),
        ({"strategy": "fixed", "candidate": "closed"}, ["closed", "small", "large", "other"]),
        ({"strategy": "fixed", "candidate": "closed", "failover": False}, ["closed"]),
        ({"strategy": "function", "function": f"{PATH}:dearest"}, ["large", "small", "other", "closed"]),
        ({"strategy": "function", "function": f"{PATH}:upside_down"}, ["closed", "other", "large", "small"]),
        ({"services": ("aws",)}, ["small", "closed", "large"]),
        ({"services": ("nvidia",)}, ["other"]),
        ({"regions": ("us-*",)}, ["small", "closed"]),
        ({"regions": ("eu-*",)}, ["large"]),
        ({"capabilities": ("tool_use",)}, ["large"]),
        ({"max_request_usd": 0.0005}, ["other", "small"]),
    ],
)
def test_the_ranking_of_each_rule(rule, ranking):
    assert names(choose(**rule)) == ranking


def test_what_a_request_holds_leaves_candidates_out():
    assert names(choose(IMAGE)) == ["large"]
    assert names(choose(replace(HELLO, tool_config=TOOL))) == ["large"]
    assert names(choose(BedrockConverseRequest([text_message("long " * 10_000)]))) == ["other", "closed", "large"]
    assert "small" not in names(choose(replace(HELLO, inference_config={"maxTokens": 2_000})))


def test_a_guardrail_never_goes_to_a_service_that_has_none():
    guarded = replace(HELLO, guardrail_config={"guardrailIdentifier": "g", "guardrailVersion": "1"})
    choice = choose(guarded)
    assert "other" not in names(choice)
    assert choice.misfits["other"] == "NVIDIA has no place for a guardrail"


def test_every_misfit_says_why():
    misfits = choose(capabilities=("tool_use",)).misfits
    assert misfits == dict.fromkeys(["small", "other", "closed"], "not known to have tool_use")


def test_where_nobody_fits_the_error_says_why_for_each():
    with pytest.raises(RequestValidationError, match="None of the 4 candidates") as raised:
        choose(max_request_usd=1e-9)
    assert len(raised.value.validation_errors) == 4


def test_the_estimate_is_prompt_and_expected_answer_at_the_candidates_prices():
    choice = choose(candidates=[LARGE], expected_output_tokens=100)
    query = Router([LARGE], Routing(expected_output_tokens=100)).query(HELLO)
    assert choice.estimated_cost_usd == pytest.approx((query.input_tokens * 3 + 100 * 15) / 1e6)


def test_an_answer_is_not_expected_to_be_longer_than_it_may_be():
    short = replace(HELLO, inference_config={"maxTokens": 10})
    assert Router([LARGE], Routing()).query(short).output_tokens == 10


def test_a_price_that_is_not_known_comes_last_and_fits_no_cap():
    unknown = Candidate("unknown", "m")
    assert names(choose(candidates=[unknown, LARGE])) == ["large", "unknown"]
    assert names(choose(candidates=[unknown, LARGE], max_request_usd=1)) == ["large"]


def test_a_fixed_candidate_that_does_not_fit_is_replaced_and_the_reason_says_so():
    choice = choose(IMAGE, strategy="fixed", candidate="small")
    assert choice.candidate is LARGE
    assert "small is fixed and cannot take the request" in choice.reason


def test_likeness_ranks_by_what_it_is_told():
    choice = choose(strategy="likeness", likenesses={"small": 0.2, "large": 0.9, "other": 0.5})
    assert names(choice) == ["large", "other", "small", "closed"]
    assert "0.900" in choice.reason


@pytest.mark.parametrize(("one", "other", "cosine"), [([1, 0], [2, 0], 1), ([1, 0], [0, 1], 0), ([0, 0], [1, 1], 0)])
def test_likeness_is_the_cosine(one, other, cosine):
    assert likeness(one, other) == pytest.approx(cosine)


def test_drawing_follows_the_weights_and_the_record():
    rule = Routing("weighted", weights={"small": 3, "large": 1, "other": 0, "closed": 0})
    router = Router(ALL, rule)
    drawn = {number: router.choose(replace(HELLO, request_id=f"row-{number}")) for number in range(2_000)}
    counts = Counter(choice.candidate.name for choice in drawn.values())
    assert set(counts) == {"small", "large"}
    assert 1_400 < counts["small"] < 1_600
    again = Router(ALL, rule)
    assert all(again.choose(replace(HELLO, request_id=f"row-{n}")).models == drawn[n].models for n in drawn)


def test_drawing_needs_a_weight():
    with pytest.raises(ConfigurationError, match="weight 0"):
        choose(candidates=[replace(SMALL, weight=0)], strategy="weighted")


def test_a_request_that_names_candidates_gets_these():
    choice = choose(replace(HELLO, models=["closed", "small"]))
    assert names(choice) == ["closed", "small"]
    assert choice.reason == "the request names it"
    with pytest.raises(ConfigurationError, match="'gpt' is not in the candidate list"):
        choose(replace(HELLO, models=["gpt"]))


@pytest.mark.parametrize(("function", "told"), [("broken", "raised KeyError"), ("stranger", "'nobody' is not in")])
def test_a_function_that_fails_is_a_setting_that_is_wrong(function, told):
    with pytest.raises(ConfigurationError, match=told):
        choose(strategy="function", function=f"{PATH}:{function}")


@pytest.mark.parametrize(
    "given",
    [
        "quickest",
        {"strategy": "function"},
        {"strategy": "fixed", "function": "a:b"},
        {"strateggy": "fixed"},
        {"weights": {"a": -1}, "strategy": "weighted"},
        {"max_request_usd": 0},
        {"max_request_usd": "x"},
        {"weights": {"a": "much"}, "strategy": "weighted"},
        {"weights": 5, "strategy": "weighted"},
        {"expected_output_tokens": -5},
        {"expected_output_tokens": "many"},
        {"capabilities": 5},
        {"regions": [5]},
        {"failover": "no"},
        5,
        ["fixed"],
    ],
)
def test_rules_that_are_wrong_are_refused(given):
    with pytest.raises(ConfigurationError, match="routing"):
        Routing.of(given)


def test_a_rule_may_not_name_who_is_not_there():
    with pytest.raises(ConfigurationError, match="'gpt' is not in the candidate list"):
        choose(strategy="fixed", candidate="gpt")


@pytest.mark.parametrize(
    "given",
    ["smallest", f"{PATH}:dearest", {"strategy": "weighted", "weights": {"small": 1}, "failover": False}, None],
)
def test_a_rule_survives_the_way_through_json(given):
    rule = Routing.of(given)
    assert Routing.of(json.loads(json.dumps(rule.to_dict()))) == rule
    assert Routing.of(rule) is rule


def test_a_path_is_a_function():
    assert Routing.of("package.module:name").strategy is RoutingStrategy.FUNCTION


def test_prices_and_words_do_not_change_what_a_request_is_called():
    cheaper = [replace(one, input_price=0, feature="new words", weight=9) for one in ALL]
    rule = Routing()
    assert routing_identity(ALL, rule) == routing_identity(cheaper, rule)
    assert routing_identity(ALL, rule) != routing_identity(ALL[1:], rule)
    assert routing_identity(ALL, rule) != routing_identity(ALL, Routing("smallest"))
    assert routing_identity(ALL, rule, ["small"]) == routing_identity(ALL[:1], Routing("largest"), ["small"])


def test_a_choice_as_json_names_everything():
    told = json.loads(json.dumps(choose().to_dict()))
    assert told.keys() >= {"candidate", "model", "service", "reason", "estimated_cost_usd", "ranking", "misfits"}
