"""Quotas, with a clock of the test's own, and once over the wire."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from harness.endpoint import HAIKU, NOVA, say

from airflow_provider_bedrock_llm.local import ErrorReply, Limit
from airflow_provider_bedrock_llm.local.limits import Demand, Limits


def demand(tokens=100, *, account="1", region="us-east-1", key=NOVA):
    return Demand(account, region, key, NOVA, tokens)


def book(*limits):
    made = Limits()
    made.replace(limits)
    return made


def refused(answer):
    return isinstance(answer, ErrorReply)


def test_a_rate_lets_a_burst_through_and_refills_with_time():
    limits = book(Limit("requests_per_second", 2, burst=3))
    assert [refused(limits.admit(demand(), 0.0)) for _ in range(4)] == [False, False, False, True]
    assert refused(limits.admit(demand(), 0.4))
    assert not refused(limits.admit(demand(), 0.5))


def test_tokens_are_reserved_at_the_start_and_settled_at_the_end():
    limits = book(Limit("tokens_per_minute", 1_000))
    ticket = limits.admit(demand(900), 0.0)
    assert limits.admit(demand(200), 0.0).message == "Too many tokens, please wait before trying again."
    limits.settle(ticket, 100, 0.0)
    assert not refused(limits.admit(demand(900), 0.0))


def test_more_may_be_used_than_was_reserved():
    limits = book(Limit("tokens_per_minute", 1_000))
    limits.settle(limits.admit(demand(500), 0.0), 1_600, 0.0)
    assert refused(limits.admit(demand(1), 0.0))
    assert refused(limits.admit(demand(1), 36.0))
    assert not refused(limits.admit(demand(1), 37.0))


def test_a_day_says_that_it_is_the_day():
    limits = book(Limit("tokens_per_day", 0))
    assert "per day" in limits.admit(demand(1), 0.0).message


def test_calls_at_once_are_given_back_when_they_end():
    limits = book(Limit("concurrency", 1))
    ticket = limits.admit(demand(), 0.0)
    assert limits.admit(demand(), 0.0).code == "ServiceUnavailableException"
    limits.settle(ticket, 0, 1.0)
    assert not refused(limits.admit(demand(), 1.0))


def test_each_model_id_and_region_has_its_own_quota_but_an_account_has_one():
    by_model = book(Limit("requests_per_second", 1))
    answers = [by_model.admit(one, 0.0) for one in (demand(), demand(key="us.x"), demand(region="eu-west-1"), demand())]
    assert [refused(one) for one in answers] == [False, False, False, True]
    by_account = book(Limit("requests_per_second", 1, scope="account"))
    answers = [by_account.admit(one, 0.0) for one in (demand(), demand(key="us.x"), demand(account="2"))]
    assert [refused(one) for one in answers] == [False, True, False]


def test_what_one_limit_refuses_is_not_charged_to_another():
    limits = book(Limit("concurrency", 1), Limit("tokens_per_minute", 100))
    assert refused(limits.admit(demand(200), 0.0))
    assert not refused(limits.admit(demand(50), 0.0))


def test_a_changed_limit_starts_full_and_an_unchanged_one_keeps_its_fill():
    kept = Limit("requests_per_second", 1)
    limits = book(kept)
    limits.admit(demand(), 0.0)
    limits.replace((kept,))
    assert refused(limits.admit(demand(), 0.0))
    limits.replace((Limit("requests_per_second", 5),))
    assert not refused(limits.admit(demand(), 0.0))


@pytest.mark.parametrize(
    ("wrong", "text"), [({"kind": "x", "amount": 1}, "kind='x'"), ({"kind": "concurrency", "amount": -1}, "amount=-1")]
)
def test_a_limit_that_makes_no_sense_names_the_setting(wrong, text):
    with pytest.raises(ValueError, match=text):
        Limit(**wrong)


def throttled(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]


def test_an_unset_max_tokens_reserves_the_model_maximum(endpoint, runtime):
    endpoint.control.limit(Limit("tokens_per_minute", 60_000))
    assert throttled(runtime.converse, modelId=HAIKU, messages=say("x"))["Code"] == "ThrottlingException"
    assert runtime.converse(modelId=HAIKU, messages=say("x"), inferenceConfig={"maxTokens": 100})["stopReason"]
    endpoint.control.limit()
    assert runtime.converse(modelId=HAIKU, messages=say("x"))["stopReason"]


def test_output_burns_the_quota_five_times_on_claude(endpoint, runtime):
    arguments = {"modelId": HAIKU, "messages": say("x"), "inferenceConfig": {"maxTokens": 100}}
    usage = runtime.converse(**arguments)["usage"]
    spent = usage["inputTokens"] + 5 * usage["outputTokens"]
    reserved = usage["inputTokens"] + 100
    endpoint.control.limit(Limit("tokens_per_minute", spent + reserved - 1))
    runtime.converse(**arguments)
    assert "Too many tokens" in throttled(runtime.converse, **arguments)["Message"]
    assert endpoint.control.stats().by_outcome["ThrottlingException"] == 1
