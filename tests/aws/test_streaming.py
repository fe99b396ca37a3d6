"""Streams over the wire, with every way in which one can break, in threads and on an event loop alike."""

from dataclasses import replace

import pytest
from harness.endpoint import HAIKU, NOVA
from harness.listeners import Listener
from harness.live_engine import LOOPS

from airflow_provider_bedrock_llm.core.errors import (
    ConfigurationError,
    RequestTimeoutError,
    RequestValidationError,
    RetryExhaustedError,
    StreamingError,
)
from airflow_provider_bedrock_llm.core.pricing import Prices, TokenPrices
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.core.stream import StreamRecovery, StreamRestarted
from airflow_provider_bedrock_llm.local import LocalEndpoint
from airflow_provider_bedrock_llm.local.answers import Answer
from airflow_provider_bedrock_llm.local.wire_errors import ErrorReply

STORY = "Once upon a time there was a triggerer that never slept, and a worker that nobody killed in the end."
ASK = BedrockConverseRequest([text_message("Tell me a story.")])
WHOLE = [
    {"reasoningContent": {"reasoningText": {"text": "They want a story; and a tool.", "signature": "c2lnbmF0dXJl"}}},
    {"reasoningContent": {"redactedContent": "AP8="}},
    {"text": STORY},
    {
        "citationsContent": {
            "content": [{"text": "As the book says."}],
            "citations": [{"title": "A book", "location": {"web": {"url": "https://example.com", "domain": "x"}}}],
        }
    },
    {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}},
    {"toolUse": {"toolUseId": "tooluse_1", "name": "rate", "input": {"score": 3.5, "why": ["ä", None]}}},
]
ROUTER = {"promptRouter": {"invokedModelId": "arn:aws:bedrock:us-east-1::foundation-model/m"}}


def tell(call):
    """Everything that can be streamed, a tool's input alone, or a story that goes on from a given beginning."""
    if "everything" in call.text:
        return Answer(content=WHOLE, trace=ROUTER)
    if "tool" in call.text:
        return Answer(content=[WHOLE[-1]])
    last = call.messages[-1]
    if last["role"] == "assistant":
        beginning = "".join(block["text"] for block in last["content"])
        assert STORY.startswith(beginning)
        return STORY[len(beginning) :]
    return STORY


@pytest.fixture(scope="module")
def story_teller():
    with LocalEndpoint(answerer=tell, tls_port=None, keep_bodies=10) as endpoint:
        yield endpoint


@pytest.fixture(params=LOOPS)
def listener(request, story_teller):
    story_teller.control.reset()

    def make(**settings):
        made = Listener(request.param, story_teller.url, **settings)
        made.control = story_teller.control
        return made

    return make


MODEL_BROKE = ErrorReply("ModelStreamErrorException", 424, "It broke.", {"originalStatusCode": 500})

# What can break a stream after its first events, and the fault that it is told as.
BREAKS = {
    "exception frame": ({"action": "stream_error", "error": "internal"}, "overloaded"),
    "unavailable frame": ({"action": "stream_error", "error": "unavailable"}, "overloaded"),
    "throttling frame": ({"action": "stream_error", "error": "too_many_requests"}, "throttled"),
    "model's own frame": ({"action": "stream_error", "error": MODEL_BROKE}, "stream_broken"),
    "unknown frame": ({"action": "stream_error", "error": ErrorReply("NovelException", 400, "?")}, "stream_broken"),
    "cut": ({"action": "cut_reply"}, "stream_broken"),
    "bad CRC": ({"action": "stream_bad_crc"}, "stream_broken"),
    "clean end": ({"action": "stream_end"}, "stream_broken"),
}
breaks = pytest.mark.parametrize(("rule", "fault"), BREAKS.values(), ids=BREAKS)


def text_of(items):
    return "".join(item for item in items if isinstance(item, str))


@pytest.mark.parametrize("prompt", ["a story", "everything", "only a tool"])
def test_a_streamed_answer_is_the_answer(listener, prompt):
    ears = listener(models=[HAIKU])
    request = BedrockConverseRequest([text_message(prompt)], service_tier={"type": "flex"})
    said, streamed = ears.listen(request)
    whole = ears.ask(request)
    assert streamed.success
    assert {**streamed.response_data, "metrics": None} == {**whole.response_data, "metrics": None}
    assert text_of(said) == (whole.get_content() or "")
    assert streamed.usage == whole.usage
    assert streamed.attempts[0].request_id


def test_text_comes_in_pieces(listener):
    said, _ = listener().listen(ASK)
    assert len(said) > 3
    assert text_of(said) == STORY


def test_before_the_first_event_a_stream_is_tried_again_as_an_answer_is(listener):
    ears = listener(regions=["us-east-1", "eu-west-1"])
    ears.control.throttle(first=1)
    said, response = ears.listen(ASK)
    assert text_of(said) == STORY
    assert [attempt.fault for attempt in response.attempts] == ["throttled", None]
    assert response.region_used == "eu-west-1"
    assert response.warnings == ()


def test_what_no_retry_helps_against_is_not_tried_again(listener):
    ears = listener()
    ears.control.fail("input_too_long")
    said, response = ears.listen(ASK)
    assert said == []
    assert isinstance(response.error, RequestValidationError)
    assert len(response.attempts) == 1


@breaks
def test_a_broken_stream_is_a_failure_and_says_so(listener, rule, fault):
    ears = listener()
    ears.control.fail(**rule, after_events=3)
    said, response = ears.listen(ASK)
    assert STORY.startswith(text_of(said))
    assert text_of(said)
    assert not response.success
    assert isinstance(response.error, StreamingError)
    assert response.error.may_have_cost
    assert [attempt.fault for attempt in response.attempts] == [fault]
    assert response.attempts[0].may_have_cost


@breaks
def test_before_text_was_passed_on_a_broken_stream_is_simply_tried_again(listener, rule, fault):
    ears = listener()
    ears.control.fail(**rule, first=1, after_events=1)
    said, response = ears.listen(ASK)
    assert text_of(said) == STORY
    assert response.success
    assert [attempt.fault for attempt in response.attempts] == [fault, None]
    assert "may be billed" in response.warnings[0]


@breaks
def test_a_restart_declares_void_what_was_said(listener, rule, fault):
    ears = listener()
    ears.control.fail(**rule, first=2, after_events=3)
    said, response = ears.listen(ASK, StreamRecovery.RESTART)
    markers = [item for item in said if isinstance(item, StreamRestarted)]
    first = said.index(markers[0])
    assert markers == [StreamRestarted(fault, len(text_of(said[:first])))] * 2
    last = len(said) - said[::-1].index(markers[-1])
    assert text_of(said[last:]) == STORY == response.get_content()
    assert [attempt.fault for attempt in response.attempts] == [fault, fault, None]


@breaks
def test_a_continued_answer_is_passed_on_once(listener, rule, fault):
    ears = listener(policy={"takes_prefill": lambda model_id: model_id == NOVA})
    ears.control.fail(**rule, first=2, after_events=2)
    said, response = ears.listen(ASK, StreamRecovery.CONTINUE)
    assert text_of(said) == STORY == response.get_content()
    assert all(isinstance(item, str) for item in said)
    assert response.get_content_blocks() == [{"text": STORY}]
    assert [attempt.fault for attempt in response.attempts] == [fault, fault, None]
    assert any("continued" in warning for warning in response.warnings)
    beginnings = [call["body"]["messages"][1:] for call in ears.control.bodies()]
    assert [len(beginning) for beginning in beginnings] == [0, 1, 1]
    assert beginnings[1][0]["role"] == "assistant"


def test_only_models_that_can_go_on_get_the_beginning_of_an_answer(listener):
    ears = listener(models=[HAIKU, NOVA], policy={"takes_prefill": lambda model_id: model_id == NOVA})
    ears.control.fail(action="cut_reply", first=1, after_events=3)
    said, response = ears.listen(ASK, StreamRecovery.CONTINUE)
    assert text_of(said) == STORY
    assert response.model_used == NOVA


def test_where_no_model_can_go_on_the_stream_has_failed(listener):
    ears = listener()
    ears.control.fail(action="cut_reply", first=1, after_events=3)
    _, response = ears.listen(ASK, StreamRecovery.CONTINUE)
    assert isinstance(response.error, StreamingError)
    assert len(response.attempts) == 1


def test_an_answer_with_more_than_text_is_not_continued(listener):
    ears = listener(policy={"takes_prefill": lambda _: True})
    ears.control.fail(action="cut_reply", first=1, after_events=10)
    said, response = ears.listen(BedrockConverseRequest([text_message("everything")]), StreamRecovery.CONTINUE)
    assert text_of(said)
    assert isinstance(response.error, StreamingError)


def test_a_tool_use_that_broke_off_is_asked_again_because_nothing_was_passed_on(listener):
    ears = listener()
    ears.control.fail(action="cut_reply", first=1, after_events=3)
    said, response = ears.listen(BedrockConverseRequest([text_message("only a tool")]))
    assert said == []
    assert response.get_tool_uses()[0].input == {"score": 3.5, "why": ["ä", None]}


def test_restarts_use_up_the_retries(listener):
    ears = listener(max_retries=1)
    ears.control.fail(action="cut_reply", after_events=3)
    said, response = ears.listen(ASK, StreamRecovery.RESTART)
    assert sum(isinstance(item, StreamRestarted) for item in said) == 1
    assert isinstance(response.error, RetryExhaustedError)
    assert len(response.attempts) == 2


def test_bad_input_in_mid_stream_is_final_under_every_policy(listener):
    ears = listener()
    bad = ErrorReply("ValidationException", 400, "The model returned the following errors: no.")
    ears.control.fail(bad, action="stream_error", after_events=3)
    _, response = ears.listen(ASK, StreamRecovery.RESTART)
    assert isinstance(response.error, RequestValidationError)
    assert len(response.attempts) == 1
    assert response.error.may_have_cost


@pytest.mark.parametrize("after_events", [0, 1])
def test_silence_before_text_is_a_read_timeout_and_asked_again_only_where_allowed(listener, after_events):
    ears = listener(read_timeout=0.3)
    ears.control.fail(action="stream_stall", after_events=after_events)
    _, response = ears.listen(ASK)
    assert isinstance(response.error, RequestTimeoutError)
    assert [attempt.fault for attempt in response.attempts] == ["read_timeout"]
    ears.control.reset()
    ears = listener(read_timeout=0.3, max_timeout_retries=1)
    ears.control.fail(action="stream_stall", first=1, after_events=after_events)
    assert text_of(ears.listen(ASK)[0]) == STORY


def test_silence_in_mid_stream_breaks_it(listener):
    ears = listener(read_timeout=0.3)
    ears.control.fail(action="stream_stall", after_events=3)
    said, response = ears.listen(ASK)
    assert text_of(said)
    assert isinstance(response.error, StreamingError)
    assert response.attempts[0].fault == "read_timeout"


def test_the_deadline_ends_a_silent_stream(listener):
    ears = listener(deadline_seconds=2.0)
    ears.control.fail(action="stream_stall", after_events=3)
    said, response = ears.listen(ASK, StreamRecovery.RESTART)
    assert text_of(said)
    assert isinstance(response.error, RequestTimeoutError)
    assert [attempt.fault for attempt in response.attempts] == ["deadline"]


def test_a_slow_stream_is_whole(listener):
    ears = listener()
    ears.control.latency(per_output_token_seconds=0.005)
    said, response = ears.listen(ASK)
    assert text_of(said) == STORY
    assert response.success


def test_an_answer_that_was_complete_stays_so_though_its_usage_was_lost(listener):
    prices = Prices(TokenPrices(input=1.0, output=1.0))
    ears = listener(policy={"prices_for": lambda *_: prices})
    events = 1 + -(-len(STORY) // 24) + 2  # messageStart, pieces of 24 characters, contentBlockStop, messageStop
    ears.control.fail(action="cut_reply", after_events=events)
    said, response = ears.listen(ASK)
    assert response.success
    assert text_of(said) == STORY == response.get_content()
    assert response.get_usage() is None
    assert response.cost_usd is None
    assert "how many tokens" in response.warnings[0]


def test_a_stream_that_is_left_gives_its_place_back(listener):
    ears = listener()
    said, _ = ears.listen(ASK, items=2)
    assert len(said) == 2
    assert [state.in_flight for state in ears.book.states.values()] == [0]


def test_a_stream_comes_from_the_models_that_its_request_names(listener):
    _, response = listener(models=[NOVA]).listen(replace(ASK, models=[HAIKU]))
    assert response.model_used == HAIKU


def test_a_stream_whose_models_cannot_be_planned_is_its_response_alone(listener):
    ears = listener()

    def plan_for(models):
        raise ConfigurationError(f"{models[0]} is not known.")

    ears.plan_for = plan_for
    said, response = ears.listen(replace(ASK, models=["nonsense"], request_id="r"))
    assert said == []
    assert (response.request_id, str(response.error)) == ("r", "nonsense is not known.")
    assert ears.control.stats().calls == 0
