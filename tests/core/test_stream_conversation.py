"""What happens to a stream is decided without a network: what is passed on, made void, sent as a beginning, judged."""

import pytest
from harness.engines import QUESTION, Talk, in_turn

from airflow_provider_bedrock_llm.aws.streaming import StreamEngine
from airflow_provider_bedrock_llm.core.config import ResponseValidationConfig, RetryConfig, ValidationResult
from airflow_provider_bedrock_llm.core.conversation import ConversePolicy
from airflow_provider_bedrock_llm.core.errors import (
    QuotaExhaustedError,
    RequestTimeoutError,
    ResponseValidationError,
    StreamingError,
)
from airflow_provider_bedrock_llm.core.prefill import takes_prefill
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.core.schema import OutputSchema
from airflow_provider_bedrock_llm.core.stream import StreamRecovery, StreamRestarted
from airflow_provider_bedrock_llm.core.transport import Failure, FailureKind
from airflow_provider_bedrock_llm.testing import FakeTransport, answer, failure, stream_events, throttled

LOST = Failure(FailureKind.CONNECTION_LOST, "ProtocolError", "gone")
SCHEMA = OutputSchema.of({"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]})


def text(*pieces):
    return [{"contentBlockDelta": {"delta": {"text": piece}, "contentBlockIndex": 0}} for piece in pieces]


def broken(*pieces, by=LOST):
    return [{"messageStart": {"role": "assistant"}}, *text(*pieces), by]


def stream(*given, recovery=StreamRecovery.FAIL, request=QUESTION, models=("m",), policy=None, **retry):
    talk = Talk(models=models, policy={"takes_prefill": lambda _: True, **(policy or {})}, **retry)
    transport = FakeTransport(in_turn(*given))
    clock = talk.clock
    engine = StreamEngine(transport, talk.policy, talk.plan, clock=clock, sleep=clock.sleep, draw=lambda: 0.5)
    *said, response = engine.stream(request, recovery)
    return said, response, [dict(sent.params) for sent in transport.requests]


def test_the_request_is_that_of_converse_under_its_own_operation():
    transport = FakeTransport(in_turn("hello"))
    talk = Talk()
    *said, response = StreamEngine(transport, talk.policy, talk.plan).stream(QUESTION)
    assert transport.requests[0].operation == "converse_stream"
    assert "".join(said) == "hello" == response.get_content()
    assert response.attempts[0].request_id == "fake-1"


def test_an_error_that_comes_while_a_continued_stream_is_opened_does_not_lose_the_beginning():
    said, response, sent = stream(broken("Hello "), throttled(), "world", recovery=StreamRecovery.CONTINUE)
    assert said == ["Hello ", "world"]
    assert response.get_content() == "Hello world"
    assert [params["messages"][1:] for params in sent[1:3]] == [
        [{"role": "assistant", "content": [{"text": "Hello"}]}]
    ] * 2


def test_a_beginning_goes_on_from_the_callers_own():
    request = BedrockConverseRequest([*QUESTION.messages, text_message("{", "assistant")])
    _, response, sent = stream(broken('"a": '), answer("1}"), recovery=StreamRecovery.CONTINUE, request=request)
    assert sent[1]["messages"][-1] == {"role": "assistant", "content": [{"text": "{"}, {"text": '"a":'}]}
    assert response.get_content() == '"a": 1}'


def test_a_beginning_of_space_alone_is_not_sent():
    said, response, sent = stream(broken("\n"), answer("\nHello"), recovery=StreamRecovery.CONTINUE)
    assert sent[1]["messages"] == list(QUESTION.messages)
    assert "".join(said) == "\nHello" == response.get_content()


@pytest.mark.parametrize(
    ("policy", "fields"),
    [({"schema": SCHEMA, "takes_output_config": lambda _: True}, {}), ({}, {"output_config": {"textFormat": {}}})],
)
def test_structured_output_is_not_continued(policy, fields):
    request = BedrockConverseRequest(QUESTION.messages, **fields)
    said, response, sent = stream(
        broken('{"score"'), answer("x"), recovery=StreamRecovery.CONTINUE, request=request, policy=policy
    )
    assert said == ['{"score"']
    assert isinstance(response.error, StreamingError)
    assert len(sent) == 1


def test_a_pause_does_not_bring_the_marker_twice():
    said, response, _ = stream(broken("a"), throttled(), "b", recovery=StreamRecovery.RESTART, retry_delay=1.0)
    assert said == ["a", StreamRestarted("stream_broken", 1), "b"]
    assert response.success


def test_a_daily_quota_in_mid_stream_moves_on_or_ends():
    quota = failure("throttlingException", "Too many tokens per day, please wait before trying again.")
    said, response, _ = stream(broken("a", by=quota), recovery=StreamRecovery.RESTART)
    assert isinstance(response.error, QuotaExhaustedError)
    assert response.error.may_have_cost
    assert said == ["a"]


def test_a_read_timeout_in_mid_stream_is_bounded_apart_under_restart_too():
    silence = Failure(FailureKind.READ_TIMEOUT, "ReadTimeoutError")
    said, response, _ = stream(broken("a", by=silence), recovery=StreamRecovery.RESTART)
    assert isinstance(response.error, RequestTimeoutError)
    said, response, _ = stream(broken("a", by=silence), "b", recovery=StreamRecovery.RESTART, max_timeout_retries=1)
    assert said[-1] == "b"
    assert response.success


def test_an_answer_that_is_rejected_after_it_was_passed_on_fails():
    said, response, sent = stream("not json", policy={"schema": SCHEMA, "takes_output_config": lambda _: True})
    assert "".join(said) == "not json"
    assert isinstance(response.error, ResponseValidationError)
    assert len(sent) == 1


def test_an_answer_that_is_rejected_is_asked_again_under_restart_with_the_error_told():
    said, response, sent = stream(
        "not json",
        '{"score": 3}',
        recovery=StreamRecovery.RESTART,
        policy={"schema": SCHEMA, "takes_output_config": lambda _: True},
    )
    assert StreamRestarted("invalid_answer", 8) in said
    assert response.structured_output == {"score": 3}
    assert "JSON Schema" in sent[1]["messages"][-1]["content"][0]["text"]


def test_an_answer_by_a_tool_is_asked_again_because_nothing_of_it_was_passed_on():
    def by_tool(given):
        data = answer("", stop_reason="tool_use")
        use = {"toolUse": {"toolUseId": "t", "name": "answer", "input": given}}
        return data | {"output": {"message": {"role": "assistant", "content": [use]}}}

    said, response, _ = stream(by_tool({}), by_tool({"score": 3}), policy={"schema": SCHEMA})
    assert said == []
    assert response.structured_output == {"score": 3}
    assert [attempt.fault for attempt in response.attempts] == ["invalid_answer", None]


def test_a_validation_function_sees_the_whole_continued_answer():
    seen = []

    def validate(response):
        seen.append(response.get_content())
        return ValidationResult(success=True)

    stream(
        broken("Hello "),
        "world",
        recovery=StreamRecovery.CONTINUE,
        policy={"validation": ResponseValidationConfig(validate)},
    )
    assert seen == ["Hello world"]


def test_a_broken_stream_names_its_route_the_cause_and_the_remedy():
    _, response, _ = stream(broken("a"))
    assert "m in us-east-1 broke off" in str(response.error)
    assert "`recovery`" in str(response.error)
    assert response.error.attempts[0].failure.kind is FailureKind.STREAM


def test_every_stream_is_closed():
    opened = []

    class Transport(FakeTransport):
        def open_stream(self, request):
            opened.append(super().open_stream(request))
            return opened[-1]

    talk = Talk(retry_delay=0.0)
    engine = StreamEngine(Transport(in_turn(broken("a"), broken("b"), "c")), talk.policy, talk.plan)
    list(engine.stream(QUESTION, StreamRecovery.RESTART))
    assert [one.closed for one in opened] == [True] * 3


@pytest.mark.parametrize(
    ("model_id", "goes_on"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0", True),
        ("anthropic.claude-3-haiku-20240307-v1:0:48k", True),
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", True),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", True),
        ("anthropic.claude-haiku-4-5", True),
        ("anthropic.claude-opus-4-6-v1", False),
        ("anthropic.claude-sonnet-5", False),
        ("amazon.nova-lite-v1:0", True),
        ("amazon.nova-2-lite-v1:0", False),
        ("meta.llama3-1-8b-instruct-v1:0", False),
    ],
)
def test_models_that_go_on_are_told_from_those_that_do_not(model_id, goes_on):
    assert takes_prefill(model_id) is goes_on


def test_the_policy_takes_no_model_to_go_on_unless_told():
    assert not ConversePolicy(RetryConfig()).takes_prefill("amazon.nova-lite-v1:0")


def test_stream_events_of_the_fake_are_those_of_an_answer():
    events = stream_events(answer("Hello world"), piece_characters=6)
    assert [next(iter(event)) for event in events] == [
        "messageStart",
        "contentBlockDelta",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
