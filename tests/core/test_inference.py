"""What a model is known not to take is an error before the call, or left out where the caller said so."""

import copy

import pytest

from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.core.conversation import Conversation, ConversePolicy
from airflow_provider_bedrock_llm.core.errors import RequestValidationError
from airflow_provider_bedrock_llm.core.failover import Call
from airflow_provider_bedrock_llm.core.inference import DROPPABLE_FEATURES, check_inference, fit_inference
from airflow_provider_bedrock_llm.core.limiter import RouteBook
from airflow_provider_bedrock_llm.core.model_card import ModelCard
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.core.routes import ModelChoice, Route
from airflow_provider_bedrock_llm.core.transport import Reply

TOOL = {"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}
FORCED = {"tools": [TOOL], "toolChoice": {"tool": {"name": "f"}}}


def make_card(model_id, **capabilities):
    return ModelCard(model_id, model_id, "Somebody", capabilities=capabilities)


OPUS = make_card("anthropic.claude-opus-4-7", temperature=False)
SONNET = make_card("anthropic.claude-sonnet-4-5-20250929-v1:0", temperature=True)
GPT = make_card("openai.gpt-6-sol", temperature=False)
LLAMA = make_card("meta.llama3-3-70b-instruct-v1:0", tool_use=True, tool_choice=False)
R1 = make_card("deepseek.r1-v1:0", tool_use=False, tool_choice=False)
NOVA = make_card("amazon.nova-lite-v1:0")
UNKNOWN = make_card("mistral.mistral-large-2402-v1:0")


def ask(inference_config=None, **fields):
    return BedrockConverseRequest([text_message("a")], inference_config=inference_config, **fields)


@pytest.mark.parametrize(
    ("card", "request_", "said"),
    [
        (OPUS, ask({"temperature": 0}), "anthropic.claude-opus-4-7 does not take temperature=0."),
        (OPUS, ask({"topP": 0.9}), "does not take topP=0.9."),
        (GPT, ask({"temperature": 0.2}), "openai.gpt-6-sol does not take temperature=0.2."),
        (SONNET, ask({"temperature": 0, "topP": 0.9}), "takes temperature or topP, not both"),
        (LLAMA, ask(tool_config=FORCED), "does not take a forced tool (toolChoice='tool')"),
        (LLAMA, ask(tool_config={"tools": [TOOL], "toolChoice": {"any": {}}}), "(toolChoice='any')"),
        (R1, ask(tool_config={"tools": [TOOL]}), "deepseek.r1-v1:0 does not take tools."),
        (UNKNOWN, ask({"topK": 5}), "Where mistral.mistral-large-2402-v1:0 takes topK is not known"),
        (None, ask({"topK": 5}), "Where The model takes topK is not known"),
        (
            SONNET,
            ask({"topK": 5}, additional_model_request_fields={"top_k": 6}),
            "topK=5 and additional_model_request_fields name two values",
        ),
    ],
)
def test_what_a_model_is_known_not_to_take_is_a_problem_with_its_remedy(card, request_, said):
    (problem,) = check_inference(request_, card)
    assert said in problem
    assert "droppable_features" in problem


@pytest.mark.parametrize(
    ("card", "request_"),
    [
        (UNKNOWN, ask({"temperature": 0, "topP": 0.9}, tool_config=FORCED)),
        (None, ask({"temperature": 0, "topP": 0.9}, tool_config=FORCED)),
        (SONNET, ask({"temperature": 0})),
        (SONNET, ask({"topP": 0.9})),
        (OPUS, ask({"temperature": 1, "maxTokens": 5})),
        (GPT, ask({"topP": 0.9})),
        (LLAMA, ask(tool_config={"tools": [TOOL], "toolChoice": {"auto": {}}})),
        (LLAMA, ask(tool_config={"tools": [TOOL]})),
        (SONNET, ask({"topK": 5})),
        (SONNET, ask({"topK": 5}, additional_model_request_fields={"top_k": 5})),
        (make_card("anthropic.claude-opus-4-10"), ask({"temperature": 0, "topP": 0.9})),
    ],
)
def test_what_is_not_known_to_be_refused_is_no_problem(card, request_):
    assert check_inference(request_, card) == []


@pytest.mark.parametrize(
    ("model_id", "expected"),
    [
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", {"top_k": 5}),
        ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", {"top_k": 5}),
        ("us.amazon.nova-lite-v1:0", {"inferenceConfig": {"topK": 5}}),
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0", {"inferenceConfig": {"topK": 5}}),
    ],
)
def test_top_k_goes_where_the_models_family_takes_it(model_id, expected):
    fitted = fit_inference(ask({"topK": 5, "maxTokens": 9}).converse_params(model_id), None)
    assert fitted.params["additionalModelRequestFields"] == expected
    assert fitted.params["inferenceConfig"] == {"maxTokens": 9}
    assert (fitted.problems, fitted.dropped) == ((), ())


def test_top_k_stands_beside_the_callers_own_fields():
    extra = {"inferenceConfig": {"other": 1}, "more": 2}
    fitted = fit_inference(ask({"topK": 5}, additional_model_request_fields=extra).converse_params("m"), NOVA)
    assert fitted.params["additionalModelRequestFields"] == {"inferenceConfig": {"other": 1, "topK": 5}, "more": 2}
    assert "inferenceConfig" not in fitted.params
    assert extra == {"inferenceConfig": {"other": 1}, "more": 2}


@pytest.mark.parametrize(
    ("card", "params", "dropped", "left"),
    [
        (
            OPUS,
            {"inferenceConfig": {"temperature": 0, "topP": 0.9, "maxTokens": 5}},
            ("temperature", "topP"),
            {"inferenceConfig": {"maxTokens": 5}},
        ),
        (OPUS, {"inferenceConfig": {"temperature": 0}}, ("temperature",), {}),
        (
            SONNET,
            {"inferenceConfig": {"temperature": 0, "topP": 1}},
            ("topP",),
            {"inferenceConfig": {"temperature": 0}},
        ),
        (UNKNOWN, {"inferenceConfig": {"topK": 5}}, ("topK",), {}),
        (LLAMA, {"toolConfig": FORCED}, ("toolChoice",), {"toolConfig": {"tools": [TOOL]}}),
        (R1, {"toolConfig": FORCED}, ("toolConfig",), {}),
    ],
)
def test_what_the_caller_can_do_without_is_left_out(card, params, dropped, left):
    before = copy.deepcopy(params)
    fitted = fit_inference(params, card, DROPPABLE_FEATURES)
    assert (fitted.params, fitted.dropped, fitted.problems) == (left, dropped, ())
    assert params == before


def test_a_request_that_fits_stays_as_it_is():
    params = ask({"temperature": 0}, tool_config=FORCED).converse_params("m")
    assert fit_inference(params, SONNET).params == params


class TestInAConversation:
    def begin(self, request, *cards, **policy):
        """A conversation over a route to each of these models."""
        known = {card.model_id: card for card in cards}
        rules = ConversePolicy(card_for=known.get, **policy)
        routes = [Route(name, name, "us-east-1", "direct", ModelChoice(name)) for name in known]
        conversation = Conversation(rules, request, rules.failover(routes), RouteBook())
        return conversation, conversation.begin(0.0)

    def test_what_the_first_model_does_not_take_is_said_first(self):
        _, response = self.begin(ask({"temperature": 0, "topP": 1}), SONNET, OPUS)
        first, *others = response.error.validation_errors
        assert SONNET.model_id in first
        assert all(OPUS.model_id in other for other in others)
        assert others

    def test_a_parameter_that_one_of_the_models_does_not_take_is_an_error_before_any_call(self):
        _, response = self.begin(ask({"temperature": 0}), SONNET, OPUS)
        assert not response.success
        assert isinstance(response.error, RequestValidationError)
        assert "anthropic.claude-opus-4-7 does not take temperature=0" in str(response.error)
        assert response.attempts == ()

    def test_the_settings_of_the_policy_and_of_the_model_are_looked_at_as_well(self):
        _, response = self.begin(ask(), OPUS, inference_config={"temperature": 0})
        assert "temperature=0" in str(response.error)

    def test_what_can_be_dropped_is_left_out_and_written_on_the_response(self):
        conversation, call = self.begin(
            ask({"temperature": 0}), OPUS, retry=RetryConfig(droppable_features=("temperature",))
        )
        assert isinstance(call, Call)
        assert "inferenceConfig" not in conversation.start(call, 0.0).params
        reply = {"output": {"message": {"role": "assistant", "content": [{"text": "b"}]}}, "usage": {"inputTokens": 1}}
        response = conversation.take(Reply(reply, "r", 0.1), 0.1, 0.5)
        assert response.features_disabled == ("temperature",)
        assert response.get_warnings() == [
            f"temperature was left out of the call of {OPUS.model_id} in us-east-1: the model does not take it"
        ]

    def test_top_k_is_sent_where_the_model_takes_it(self):
        conversation, call = self.begin(ask({"topK": 5}), NOVA)
        sent = conversation.start(call, 0.0).params
        assert sent["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 5}}

    def test_a_feature_that_cannot_be_dropped_is_refused_as_a_setting(self):
        with pytest.raises(ValueError, match="guardrailConfig cannot be dropped"):
            RetryConfig(droppable_features=("guardrailConfig",))
