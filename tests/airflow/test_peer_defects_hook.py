"""What bestehorn-llmmanager 0.9.0 gets wrong, one test per numbered defect of its inventory: the hook's part.

Numbers and measurements are those of the project's inventory of that package; the same experiment runs on ours, over
HTTP. The others are in tests/aws/test_peer_defects.py. Of defect 27, keeping results and going on after a crash is
what jobs are for: tests/jobs. Of defect 21, a claim of `concurrent_executions` has no counterpart: nothing here
reports a concurrency that was not seen, the endpoint's own count is held against the setting instead.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_bedrock_llm.core.config import (
    Boto3Config,
    FailureHandlingStrategy,
    LoadBalancingStrategy,
    ParallelProcessingConfig,
    ResponseValidationConfig,
    RetryConfig,
    ValidationResult,
)
from airflow_provider_bedrock_llm.core.errors import LLMManagerError, ParallelExecutionError, ResponseValidationError
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, request_hash, text_message
from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook
from airflow_provider_bedrock_llm.local import ErrorReply

NOVA, MICRO = "amazon.nova-lite-v1:0", "amazon.nova-micro-v1:0"
SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
REGIONS = ["us-east-1", "us-west-2", "eu-west-1"]
ONE_ROUTE = {"max_retries": 1, "access_method_preference": ("direct",)}
HELLO = [text_message("Hello there.")]


def ask(name, **fields):
    return BedrockConverseRequest(
        [text_message(f"Say {name}.")], request_id=name, request_metadata={"record": name}, **fields
    )


def named(count):
    return [ask(f"n{number}") for number in range(count)]


def make_hook(models=(NOVA,), regions=None, retry=None, **parallel):
    return BedrockLLMHook(
        models=list(models),
        regions=regions,
        retry_config=RetryConfig(**{"retry_delay": 0.0, **(retry or {})}),
        parallel_config=ParallelProcessingConfig(**parallel),
    )


def asked_ids(connected):
    return [call["asked_id"] for call in connected.control.calls(200)]


@pytest.fixture
def fresh_memory(monkeypatch):
    """The catalog is kept in the memory of the process, and nothing is in there yet."""
    monkeypatch.setenv("AIRFLOW__BEDROCK_LLM__CATALOG_MODE", "memory")
    catalog = BedrockLLMHook(models=[NOVA], regions=REGIONS[:1]).model_catalog
    catalog.clear_cache()
    yield
    catalog.clear_cache()


def test_defect_10_making_a_hook_asks_nobody_and_the_process_asks_once_what_the_account_has(connected, fresh_memory):
    hooks = [BedrockLLMHook(models=[NOVA]) for _ in range(3)]
    assert connected.control.stats().calls == 0
    for hook in hooks:
        hook.converse(HELLO)
    asked = connected.control.stats().by_operation
    assert set(asked) == {"Converse", "ListFoundationModels", "ListInferenceProfiles"}
    assert (asked["ListFoundationModels"], asked["Converse"]) == (1, 3)


@pytest.mark.parametrize(("fraction", "expected"), [(0.5, 10), (0.25, 5), (0.0, 0), (1.0, 20)])
def test_defect_15_the_fraction_of_global_calls_is_the_fraction_that_was_set(connected, fraction, expected):
    hook = make_hook([SONNET], retry={"global_cris_fraction": fraction})
    for _ in range(20):
        hook.converse(HELLO)
    assert Counter(name.partition(".")[0] for name in asked_ids(connected))["global"] == expected


def test_defect_15_what_one_hook_learned_does_not_override_what_another_was_told(connected):
    regional, everywhere = ("regional_profile",), ("global_profile",)
    make_hook([SONNET], retry={"access_method_preference": regional}).converse(HELLO)
    make_hook([SONNET], retry={"access_method_preference": everywhere}).converse(HELLO)
    assert asked_ids(connected) == [f"us.{SONNET}", f"global.{SONNET}"]


def test_defect_18_neither_prompt_nor_rejected_answer_is_logged(connected, caplog):
    caplog.set_level(logging.DEBUG)
    rejected = []

    def refuse(response):
        rejected.append(response.get_content())
        return ValidationResult(False, "not good enough")

    hook = BedrockLLMHook(
        models=[NOVA],
        response_validation_config=ResponseValidationConfig(refuse, response_validation_retries=1),
    )
    with pytest.raises(ResponseValidationError):
        hook.converse([text_message("The canary sings at dawn.")])
    ours = [record for record in caplog.records if record.name.startswith("airflow_provider_bedrock_llm")]
    said = "\n".join(record.getMessage() for record in [*ours, *_of_hook(caplog, hook)])
    assert len(rejected) == 2
    assert "canary" not in said
    assert [answer for answer in rejected if answer in said] == []


def _of_hook(caplog, hook):
    return [record for record in caplog.records if record.name == hook.log.name]


def test_defect_20_one_parallel_request_over_two_models_and_three_regions_is_four_calls_and_not_ninety_six(connected):
    connected.control.throttle()
    response = make_hook([NOVA, MICRO], REGIONS, {"max_retries": 3}).converse_parallel(named(1))
    assert not response.success
    assert connected.control.stats().calls == 4


@pytest.mark.parametrize("balance", LoadBalancingStrategy)
def test_defect_21_requests_really_go_to_all_regions_and_the_statistics_say_where(connected, balance):
    response = make_hook(regions=REGIONS, load_balancing_strategy=balance, max_concurrent_requests=6).converse_parallel(
        named(30)
    )
    seen = connected.control.stats()
    assert response.parallel_execution_stats.region_distribution == seen.by_region
    assert sum(seen.by_region.values()) == 30
    assert set(seen.by_region) == set(REGIONS)
    if balance is LoadBalancingStrategy.ROUND_ROBIN:
        assert seen.by_region == dict.fromkeys(REGIONS, 10)
    assert seen.peak_in_flight <= 6


def test_defect_22_a_request_that_takes_too_long_is_one_call_and_its_report_says_that_it_may_be_billed(connected):
    connected.control.fail(action="slow", delay_seconds=10)
    response = make_hook(request_timeout_seconds=1.0).converse_parallel(named(1))
    assert connected.control.stats().calls == 1
    assert response.total_duration_ms < 10_000
    error = response.request_responses["n0"].error
    assert "deadline of 1 seconds" in error.message
    assert error.may_have_cost


def test_defect_23_one_request_that_waits_for_its_retry_holds_up_no_other(connected):
    busy = ErrorReply("ServiceUnavailableException", 503, "Busy.", extra_headers={"x-amz-retry-after": "2000"})
    connected.control.fail(busy, first=1, metadata={"record": "n0"})
    came = []
    response = make_hook(retry=ONE_ROUTE, max_concurrent_requests=4).converse_parallel(
        named(20), on_response=lambda request, _: came.append(request.request_id)
    )
    assert response.success
    assert came[-1] == "n0"
    assert connected.control.calls_by("record") == {f"n{number}": 1 + (number == 0) for number in range(20)}


def test_defect_24_a_malformed_request_is_one_call_and_no_retries_means_none(connected):
    malformed = ask("n0", inference_config={"temperature": 7.0})
    assert not make_hook(retry={"max_retries": 5}).converse_parallel([malformed]).success
    assert connected.control.stats().calls == 1
    connected.control.throttle()
    assert not make_hook(retry={"max_retries": 0}).converse_parallel(named(1)).success
    assert connected.control.stats().calls == 2


def test_defect_25_stop_on_first_failure_stops_and_gives_the_good_answers(connected):
    connected.control.fail("input_too_long", metadata={"record": "n5"})
    hook = make_hook(max_concurrent_requests=1, failure_handling_strategy=FailureHandlingStrategy.STOP_ON_FIRST_FAILURE)
    with pytest.raises(ParallelExecutionError) as caught:
        hook.converse_parallel(named(20))
    assert connected.control.stats().calls == 6
    assert list(caught.value.response.get_successful_responses()) == [f"n{number}" for number in range(5)]
    assert len(caught.value.response.not_started) == 14


def test_defect_25_a_threshold_stops_too(connected):
    connected.control.fail("input_too_long", every=2)
    hook = make_hook(
        max_concurrent_requests=1,
        failure_handling_strategy=FailureHandlingStrategy.STOP_ON_THRESHOLD,
        failure_threshold=0.3,
        failure_threshold_minimum=10,
    )
    with pytest.raises(ParallelExecutionError, match="5 of 10 requests failed, more than failure_threshold"):
        hook.converse_parallel(named(40))
    assert connected.control.stats().calls == 10


def test_defect_26_what_failed_keeps_its_attempts_and_errors_and_nineteen_of_twenty_are_no_success(connected):
    connected.control.fail("unavailable", metadata={"record": "n7"})
    response = make_hook(retry={"max_retries": 1}).converse_parallel(named(20))
    assert not response.success
    assert response.failed_requests == ["n7"]
    assert response.get_success_rate() == 0.95
    failed = response.request_responses["n7"]
    assert [attempt.fault for attempt in failed.attempts] == ["overloaded", "overloaded"]
    assert isinstance(failed.get_last_error(), LLMManagerError)
    assert (failed.error.aws_code, len(failed.get_all_errors())) == ("ServiceUnavailableException", 2)
    assert failed.error.request_id


def test_defect_27_fifty_requests_at_once_take_no_thread_each(connected):
    connected.control.latency(3.0)
    make_hook().converse_parallel(named(1))
    before = threading.active_count()
    seen = []
    make_hook(max_concurrent_requests=50).converse_parallel(
        named(50), on_response=lambda *_: seen.append(threading.active_count())
    )
    assert connected.control.stats().peak_in_flight == 50
    assert max(seen) <= before + 5


def test_defect_27_two_batches_at_once_on_one_hook_keep_apart(connected):
    hook = make_hook()
    batches = [[ask(f"{name}{number}") for number in range(15)] for name in "ab"]
    with ThreadPoolExecutor(2) as pool:
        responses = list(pool.map(hook.converse_parallel, batches))
    for batch, response in zip(batches, responses, strict=True):
        assert response.success
        assert list(response.request_responses) == [request.request_id for request in batch]
    assert set(connected.control.calls_by("record").values()) == {1}


def test_defect_27_the_same_request_objects_get_the_same_retries_each_time(connected):
    requests = named(1)
    for _ in range(2):
        connected.control.reset()
        connected.control.throttle()
        make_hook(retry={"max_retries": 2}).converse_parallel(requests)
        assert connected.control.stats().calls == 3


def test_defect_28_every_field_of_converse_goes_through_in_parallel_too(connected):
    connected.control.keep_bodies(10)
    schema = {"type": "object", "properties": {"score": {"type": "integer"}}, "additionalProperties": False}
    request = ask(
        "n0",
        performance_config={"latency": "optimized"},
        service_tier={"type": "flex"},
        output_config={"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": str(schema)}}}},
        extra_request_fields={"additionalModelRequestFields": {"newer": 1}},
    )
    response = make_hook([SONNET]).converse_parallel([request])
    (sent,) = [record["body"] for record in connected.control.bodies()]
    assert sent["performanceConfig"] == {"latency": "optimized"}
    assert sent["serviceTier"] == {"type": "flex"}
    assert sent["outputConfig"]["textFormat"]["type"] == "json_schema"
    assert sent["additionalModelRequestFields"] == {"newer": 1}
    assert list(response.request_responses) == ["n0"]


def test_defect_28_bytes_in_the_system_prompt_are_no_trouble():
    image = {"guardContent": {"image": {"format": "png", "source": {"bytes": b"\x89PNG"}}}}
    request = BedrockConverseRequest(HELLO, system=[image])
    assert len(request_hash(request, [NOVA])) == 32


def test_the_read_timeout_in_force_is_named_where_it_was_too_short(connected):
    connected.control.fail(action="slow", delay_seconds=3)
    with pytest.raises(LLMManagerError) as caught:
        BedrockLLMHook(models=[NOVA], boto3_config=Boto3Config(read_timeout=0.5)).converse(HELLO)
    assert "did not answer within 0.5 seconds" in caught.value.message
    assert "`read_timeout` (now 0.5) in the Airflow connection 'bedrock_llm_default'" in caught.value.message
    assert connected.control.stats().calls == 1


def test_defect_31_a_stream_leaves_out_what_is_refused_by_the_same_rules_and_keeps_its_guardrail(connected):
    connected.control.keep_bodies(10)
    connected.control.guardrail("abc123", ["forbidden"], version="1")
    text = "Latency performance configuration is not supported for {model} in {region}"
    connected.control.fail(ErrorReply("ValidationException", 400, text), first=1)
    guardrail = {"guardrailIdentifier": "abc123", "guardrailVersion": "1"}
    stream = make_hook(retry={"max_retries": 0}).converse_stream(
        HELLO, guardrail_config=guardrail, performance_config={"latency": "optimized"}
    )
    assert "".join(stream)
    assert stream.response.features_disabled == ("performanceConfig",)
    assert not stream.response.attempts[0].may_have_cost
    bodies = [record["body"] for record in connected.control.bodies()]
    assert ["performanceConfig" in body for body in bodies] == [True, False]
    assert [body["guardrailConfig"] for body in bodies] == [guardrail] * 2
