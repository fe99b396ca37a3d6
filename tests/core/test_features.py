"""What a model does not take is left out where that is harmless or allowed, and a guardrail never."""

import copy

import pytest
from harness.engines import Talk
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.core.errors import RequestValidationError
from airflow_provider_bedrock_llm.core.features import (
    DROPPABLE_FEATURES,
    HARMLESS_FEATURES,
    FeatureBook,
    is_droppable,
    refused_features,
    without,
)
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.core.schema import OutputSchema
from airflow_provider_bedrock_llm.testing import answer, failure, throttled

POINT = {"cachePoint": {"type": "default"}}
TOOL = {"toolSpec": {"name": "f", "inputSchema": {"json": {"properties": {"image": {"type": "string"}}}}}}
DOCUMENT = {"document": {"name": "d", "format": "pdf", "source": {"bytes": b"%PDF"}}}
VIDEO = {"video": {"format": "mp4", "source": {"bytes": b"mp4"}}}
IMAGE = {"image": {"format": "png", "source": {"bytes": b"png"}}}
GUARDRAIL = {"guardrailIdentifier": "g", "guardrailVersion": "1"}
FULL = {
    "modelId": "m",
    "messages": [{"role": "user", "content": [{"text": "a"}, DOCUMENT, IMAGE, VIDEO, POINT]}],
    "system": [{"text": "s"}, POINT],
    "toolConfig": {"tools": [TOOL, POINT], "toolChoice": {"any": {}}},
    "inferenceConfig": {"temperature": 0.5, "topP": 0.9, "topK": 3, "stopSequences": ["x"], "maxTokens": 9},
    "additionalModelRequestFields": {"top_k": 5, "thinking": {"type": "enabled"}},
    "outputConfig": {"textFormat": {"type": "json_schema"}},
    "performanceConfig": {"latency": "optimized"},
    "serviceTier": {"type": "flex"},
    "guardrailConfig": GUARDRAIL,
}
MODEL_SAYS = "The model returned the following errors: "

TEXTS = [
    (f"{MODEL_SAYS}Malformed input request: #/messages/6/content/0: extraneous key [cachePoint] is not permitted",
     "cachePoint"),
    (f"{MODEL_SAYS}system.0.cache_control: Extra inputs are not permitted", "cachePoint"),
    (f"{MODEL_SAYS}messages.0.content.3.type: Field required", "cachePoint"),
    ("Latency performance configuration is not supported for amazon.nova-pro-v1:0 in us-east-1", "performanceConfig"),
    ("The provided service tier is not supported for this model", "serviceTier"),
    ("Reservation not found.", "serviceTier"),
    ("This model doesn't support tool use.", "toolConfig"),
    ("This model doesn't support tool use in streaming mode.", "toolConfig"),
    ("This model doesn't support the toolConfig.toolChoice.any field. Remove toolConfig.toolChoice.any and try again",
     "toolChoice"),
    ("This model doesn't support documents.", "document"),
    ("This model doesn't support the image content block that you provided. Update the content block and try again.",
     "image"),
    ("This model doesn't support the stopSequences field. Remove stopSequences and try again.", "stopSequences"),
    ("This model doesn\N{RIGHT SINGLE QUOTATION MARK}t support the temperature field.", "temperature"),
    (f"{MODEL_SAYS}`temperature` is deprecated for this model.", "temperature"),
    (f"{MODEL_SAYS}output_config.format: Extra inputs are not permitted", "outputConfig"),
    (f"{MODEL_SAYS}Malformed input request: #: extraneous key [top_k] is not permitted",
     "additionalModelRequestFields.top_k"),
    (f"{MODEL_SAYS}thinking: Extra inputs are not permitted", "additionalModelRequestFields.thinking"),
]  # fmt: skip


def refusal(text, code="ValidationException"):
    return failure(code, text)


CACHING = refusal(
    "You invoked an unsupported model or your request did not allow prompt caching. See the documentation for more "
    "information.",
    "AccessDeniedException",
)
NO_LATENCY = refusal(TEXTS[3][0])
NO_TEMPERATURE = refusal("This model doesn't support the temperature field. Remove temperature and try again.")


def ask(**fields):
    return BedrockConverseRequest([text_message("a question")], **fields)


FAST = {"performance_config": {"latency": "optimized"}}


@pytest.mark.parametrize(("text", "feature"), TEXTS)
def test_each_known_text_names_its_feature(text, feature):
    assert refused_features(refusal(text), FULL) == (feature,)


@pytest.mark.parametrize(("text", "feature"), TEXTS)
def test_what_the_request_does_not_have_is_never_the_cause(text, feature):
    bare = {"modelId": "m", "messages": [text_message("a")]}
    assert refused_features(refusal(text), bare) == ()


def test_caching_that_is_not_allowed_comes_as_a_denial():
    assert refused_features(CACHING, FULL) == ("cachePoint",)


def test_of_two_that_exclude_each_other_either_may_go():
    text = f"{MODEL_SAYS}`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    assert refused_features(refusal(text), FULL) == ("topP", "temperature")


@pytest.mark.parametrize(
    "text",
    [
        "The guardrail identifier or version provided in the request does not exist.",
        "This model doesn't support guardrails. Remove guardrailConfig and try again.",
        "This model doesn't support the guardrailConfig field.",
        f"{MODEL_SAYS}guardrail_config: Extra inputs are not permitted",
        f"{MODEL_SAYS}Malformed input request: #: extraneous key [guardrailConfig] is not permitted",
        "content filter blocked the image and the document of this tool",
        "This model doesn't support the reasoningContent.reasoningText.signature field.",
        "temperature must be below 1",
        "",
    ],
)
def test_other_texts_name_none(text):
    assert refused_features(refusal(text), FULL) == ()


@pytest.mark.parametrize("feature", sorted(DROPPABLE_FEATURES))
def test_leaving_out_takes_that_and_nothing_else(feature):
    before = copy.deepcopy(FULL)
    left = without(FULL, feature)
    assert before == FULL
    assert left is not None
    assert left["guardrailConfig"] == GUARDRAIL
    assert without(left, feature) is None
    others = DROPPABLE_FEATURES - {feature} - ({"toolChoice"} if feature == "toolConfig" else set())
    assert [name for name in others if without(left, name) is None] == []


def test_cache_points_go_from_messages_system_and_tools():
    left = without(FULL, "cachePoint")
    assert "cachePoint" not in str(left)
    assert left["system"] == [{"text": "s"}]
    assert left["toolConfig"]["tools"] == [TOOL]


def test_an_image_in_a_tools_result_goes_too_but_a_schema_that_speaks_of_images_stays():
    result = {"toolResult": {"toolUseId": "1", "content": [{"text": "seen"}, IMAGE]}}
    params = {"messages": [{"role": "user", "content": [result]}], "toolConfig": {"tools": [TOOL]}}
    left = without(params, "image")
    assert left["messages"][0]["content"][0]["toolResult"]["content"] == [{"text": "seen"}]
    assert left["toolConfig"] == params["toolConfig"]


@pytest.mark.parametrize(
    ("feature", "params"),
    [
        ("image", {"messages": [{"role": "user", "content": [IMAGE]}]}),
        (
            "image",
            {"messages": [{"role": "user", "content": [{"toolResult": {"toolUseId": "1", "content": [IMAGE]}}]}]},
        ),
        ("cachePoint", {"messages": [text_message("a")], "system": [POINT]}),
        ("toolConfig", {"toolConfig": {"tools": [TOOL]}, "messages": [{"role": "user", "content": [{"toolUse": {}}]}]}),
    ],
)
def test_a_request_that_would_say_nothing_without_it_keeps_it(feature, params):
    assert without(params, feature) is None


def test_only_price_and_speed_go_unasked():
    assert {name for name in DROPPABLE_FEATURES if is_droppable(name, ())} == HARMLESS_FEATURES
    assert is_droppable("additionalModelRequestFields.top_k", ("additionalModelRequestFields",))
    assert is_droppable("additionalModelRequestFields.top_k", ("additionalModelRequestFields.top_k",))
    assert not is_droppable("additionalModelRequestFields.top_k", ("additionalModelRequestFields.thinking",))


@pytest.mark.parametrize("name", ["guardrailConfig", "messages", "additionalModelRequestFields.", "tools"])
def test_what_cannot_be_dropped_is_refused_as_a_setting(name):
    with pytest.raises(ValueError, match="a guardrail is never dropped"):
        RetryConfig(droppable_features=(name,))


def test_what_a_route_refused_is_forgotten_after_a_while_and_is_its_own():
    book = FeatureBook(expires_seconds=60)
    book.learn(("m", "r"), {"cachePoint": "said so"}, 0.0)
    book.learn(("m", "r"), {"serviceTier": "that too"}, 50.0)
    assert book.refused(("m", "r"), 59.9) == {"cachePoint": "said so", "serviceTier": "that too"}
    assert book.refused(("m", "r"), 60.0) == {"serviceTier": "that too"}
    assert book.refused(("m", "other"), 0.0) == {}


def test_a_wish_for_latency_is_dropped_by_itself_without_a_retry_or_a_wait_and_told():
    talk = Talk(NO_LATENCY, "hello", max_retries=0)
    response = talk.ask(ask(**FAST))
    assert response.get_content() == "hello"
    assert ["performanceConfig" in params for params in talk.sent] == [True, False]
    assert talk.clock.sleeps == []
    assert response.features_disabled == ("performanceConfig",)
    (warning,) = response.get_warnings()
    assert "performanceConfig was left out of the call of m in us-east-1: Latency performance" in warning
    assert [(attempt.fault, attempt.refused_feature) for attempt in response.attempts] == [
        ("unsupported_feature", "performanceConfig"),
        (None, None),
    ]
    assert not response.attempts[0].may_have_cost


def test_the_second_identical_request_works_and_does_not_find_out_again():
    talk = Talk(respond=lambda request: NO_LATENCY if "performanceConfig" in request.params else "hello")
    first, second = talk.ask(ask(**FAST)), talk.ask(ask(**FAST))
    assert (first.success, second.success) == (True, True)
    assert len(talk.sent) == 3
    assert second.features_disabled == ("performanceConfig",)
    assert len(second.attempts) == 1


def test_after_the_expiry_the_feature_is_tried_again():
    talk = Talk(NO_LATENCY, "hello")
    talk.ask(ask(**FAST))
    talk.clock.now += 3600
    assert talk.ask(ask(**FAST)).features_disabled == ()
    assert "performanceConfig" in talk.sent[-1]


def test_what_did_not_help_is_not_learned():
    talk = Talk(NO_LATENCY, failure("ValidationException", "something else is wrong"), "hello")
    assert not talk.ask(ask(**FAST)).success
    assert talk.ask(ask(**FAST)).features_disabled == ()


def test_another_region_is_asked_with_everything_again():
    respond = lambda request: (  # noqa: E731 - a table in one line
        "hello" if request.region == "b" else NO_LATENCY if "performanceConfig" in request.params else throttled()
    )
    talk = Talk(respond=respond, regions=["a", "b"])
    response = talk.ask(ask(**FAST))
    assert [("performanceConfig" in params) for params in talk.sent] == [True, False, True]
    assert response.region_used == "b"
    assert response.features_disabled == ()


@pytest.mark.parametrize("setting", [{"enable_feature_fallback": False}, {}])
def test_what_may_not_be_dropped_stops_the_request_and_says_how_it_could(setting):
    fields = FAST if setting else {"inference_config": {"temperature": 0.5}}
    talk = Talk(NO_LATENCY if setting else NO_TEMPERATURE, "hello", regions=["a", "b"], max_retries=5, **setting)
    response = talk.ask(ask(**fields))
    assert type(response.error) is RequestValidationError
    assert len(talk.sent) == 1
    expected = (
        "`enable_feature_fallback` (now False)" if setting else "'temperature' in `droppable_features` (now none)"
    )
    assert expected in response.error.message
    assert response.features_disabled == ()


def test_what_the_caller_named_is_dropped():
    talk = Talk(NO_TEMPERATURE, "hello", droppable_features=("temperature",))
    response = talk.ask(ask(inference_config={"temperature": 0.5, "maxTokens": 9}))
    assert response.features_disabled == ("temperature",)
    assert talk.sent[-1]["inferenceConfig"] == {"maxTokens": 9}


def test_a_member_of_the_additional_fields_goes_alone():
    talk = Talk(
        refusal(f"{MODEL_SAYS}thinking: Extra inputs are not permitted"),
        "hello",
        droppable_features=("additionalModelRequestFields.thinking",),
    )
    talk.ask(ask(additional_model_request_fields={"thinking": {}, "top_k": 5}))
    assert talk.sent[-1]["additionalModelRequestFields"] == {"top_k": 5}


def test_a_schema_of_the_policy_goes_on_without_native_structured_output_because_answers_are_held_against_it():
    schema = OutputSchema.of({"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]})
    talk = Talk(
        refusal(f"{MODEL_SAYS}output_config.format: Extra inputs are not permitted"),
        "no JSON",
        '{"score": 3}',
        policy={"schema": schema, "takes_output_config": lambda _: True},
    )
    response = talk.ask(ask())
    assert response.structured_output == {"score": 3}
    assert ["outputConfig" in params for params in talk.sent] == [True, False, False]
    assert response.features_disabled == ("outputConfig",)


def test_structured_output_that_the_request_brought_itself_is_not_dropped_unasked():
    talk = Talk(refusal(f"{MODEL_SAYS}output_config.format: Extra inputs are not permitted"), "hello")
    assert not talk.ask(ask(output_config={"textFormat": {"type": "json_schema"}})).success


async def test_threads_and_event_loops_drop_alike():
    stories = []
    for is_async in (False, True):
        talk = Talk(NO_LATENCY, "hello")
        response = await talk.ask_async(ask(**FAST)) if is_async else talk.ask(ask(**FAST))
        stories.append((talk.sent, response.features_disabled, response.warnings))
    assert stories[0] == stories[1]


REFUSALS = [CACHING, throttled(), failure("InternalServerException", "", 500), *(refusal(text) for text, _ in TEXTS)]
NAMES = [*sorted(DROPPABLE_FEATURES), "additionalModelRequestFields.top_k"]
FIELDS = {
    "system": [{"text": "s"}, POINT],
    "tool_config": FULL["toolConfig"],
    "inference_config": {"temperature": 0.5, "topP": 0.9, "stopSequences": ["x"]},
    "additional_model_request_fields": {"top_k": 5, "thinking": {}},
    "output_config": FULL["outputConfig"],
    "performance_config": FULL["performanceConfig"],
    "service_tier": FULL["serviceTier"],
}


@given(
    st.lists(st.sampled_from(REFUSALS), max_size=25),
    st.lists(st.sampled_from(NAMES), max_size=12),
    st.sets(st.sampled_from(sorted(FIELDS))),
    st.integers(1, 3),
    st.booleans(),
)
def test_whatever_is_refused_the_guardrail_stays_it_ends_and_nothing_goes_that_was_not_allowed(
    refusals, named, fields, regions, enabled
):
    talk = Talk(
        *refusals,
        answer("hello"),
        regions=[f"region-{number}" for number in range(regions)],
        enable_feature_fallback=enabled,
        droppable_features=tuple(named),
    )
    content = [{"text": "a question"}, DOCUMENT, IMAGE, POINT]
    request = BedrockConverseRequest(
        [{"role": "user", "content": content}],
        guardrail_config=GUARDRAIL,
        **{name: FIELDS[name] for name in fields},
    )
    response = talk.ask(request)
    assert all(params["guardrailConfig"] == GUARDRAIL for params in talk.sent)
    assert len(talk.sent) == len(response.attempts) <= 1 + 3 + regions * len(NAMES)
    allowed = HARMLESS_FEATURES | set(named) if enabled else set()
    if "toolConfig" in allowed:
        allowed |= {"toolChoice"}  # it is a part of it
    assert all(is_droppable(feature, named) and enabled for feature in response.features_disabled)
    kept = [name for name in DROPPABLE_FEATURES - allowed if without(FULL, name) and _has(request, name)]
    assert [name for params in talk.sent for name in kept if without(params, name) is None] == []


def _has(request, feature):
    return feature != "additionalModelRequestFields" and without(request.converse_params("m"), feature) is not None
