"""Cache points stand where Bedrock takes them and where they pay, and every setting of CacheConfig moves one."""

import copy
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bedrock_llm.core.cache_config import MAX_CACHE_POINTS
from airflow_provider_bedrock_llm.core.conversation import Conversation, ConversePolicy
from airflow_provider_bedrock_llm.core.limiter import RouteBook
from airflow_provider_bedrock_llm.core.messages import create_user_message
from airflow_provider_bedrock_llm.core.model_card import ModelCard
from airflow_provider_bedrock_llm.core.pricing import Prices, TokenPrices
from airflow_provider_bedrock_llm.core.prompt_cache import (
    CacheConfig,
    CachePlace,
    CachePoint,
    CacheStrategy,
    FixedPart,
    cache_savings_usd,
    estimate_tokens,
    place_cache_points,
    without_cache_points,
)
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.core.response import BedrockResponse, RequestAttempt, Usage
from airflow_provider_bedrock_llm.core.routes import ModelChoice, Route

LONG = "word " * 1_000  # 1,250 tokens by the heuristic
SHORT = "word " * 100
POINT = {"cachePoint": {"type": "default"}}
HOUR = {"cachePoint": {"type": "default", "ttl": "1h"}}
IMAGE = {"image": {"format": "png", "source": {"bytes": b"png"}}}
TOOL = {"toolSpec": {"name": "f", "description": LONG, "inputSchema": {"json": {"type": "object"}}}}

ON = CacheConfig(enabled=True)
AGGRESSIVE = CacheConfig(enabled=True, strategy=CacheStrategy.AGGRESSIVE)


def make_card(model_id="anthropic.claude-sonnet-4-5-20250929-v1:0", **capabilities):
    return ModelCard(model_id, model_id, "Somebody", capabilities=capabilities)


CLAUDE = make_card(prompt_caching=True, prompt_cache_ttls=["5m", "1h"], prompt_cache_min_tokens=1024)
NOVA = make_card("amazon.nova-lite-v1:0", prompt_caching=True, prompt_cache_ttls=["5m"])
UNKNOWN = make_card("meta.llama3-3-70b-instruct-v1:0")
NEVER = make_card("mistral.mistral-large-2402-v1:0", prompt_caching=False)


def make_params(*content, system=LONG, tools=(TOOL,), before=()):
    params = {
        "modelId": "m",
        "messages": [*before, {"role": "user", "content": list(content) or [{"text": "a question"}]}],
        "inferenceConfig": {"maxTokens": 10},
    }
    if system:
        params["system"] = [{"text": system}]
    if tools:
        params["toolConfig"] = {"tools": list(tools), "toolChoice": {"auto": {}}}
    return params


def points(params):
    """Where the points are: section, number of blocks before, time to live."""
    sections = {
        "tools": params.get("toolConfig", {}).get("tools", ()),
        "system": params.get("system", ()),
        **{f"message {number}": message["content"] for number, message in enumerate(params["messages"])},
    }
    return [
        (name, index, block["cachePoint"].get("ttl"))
        for name, blocks in sections.items()
        for index, block in enumerate(blocks)
        if "cachePoint" in block
    ]


class TestConfig:
    def test_caching_is_off_and_conservative_as_in_the_seeds(self):
        assert CacheConfig() == CacheConfig(enabled=False, strategy=CacheStrategy.CONSERVATIVE)

    def test_it_is_frozen(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            ON.enabled = False

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"strategy": CacheStrategy.CUSTOM}, "do not go together"),
            ({"custom_points": (CachePoint(CachePlace.SYSTEM),)}, "do not go together"),
            (
                {"strategy": CacheStrategy.CUSTOM, "custom_points": (CachePoint(CachePlace.TOOLS),) * 2},
                "each place once",
            ),
            (
                {"strategy": CacheStrategy.CUSTOM, "custom_points": tuple(CachePoint(place) for place in CachePlace)},
                "four at most",
            ),
            (
                {
                    "strategy": CacheStrategy.CUSTOM,
                    "custom_points": (CachePoint(CachePlace.CONTEXT, "1h"), CachePoint(CachePlace.SYSTEM)),
                },
                "1h come after one of five minutes",
            ),
            (
                {"strategy": CacheStrategy.CUSTOM, "custom_points": (CachePoint(CachePlace.TOOLS),), "ttl": "1h"},
                "no effect",
            ),
            ({"ttl": "2h"}, "ttl"),
            ({"cache_point_threshold": -1}, "cache_point_threshold"),
            ({"auto_cache_system_messages": True}, "auto_cache_system_messages"),
        ],
    )
    def test_what_cannot_work_is_refused(self, fields, said):
        with pytest.raises(ValueError, match=said):
            CacheConfig(enabled=True, **fields)


class TestEveryFieldHasAnEffect:
    def test_enabled(self):
        params = make_params()
        assert points(place_cache_points(params, CacheConfig(), CLAUDE)) == []
        assert points(place_cache_points(params, ON, CLAUDE)) == [("tools", 1, None), ("system", 1, None)]

    def test_strategy(self):
        params = make_params({"text": LONG}, IMAGE, {"text": "a question"})
        assert points(place_cache_points(params, AGGRESSIVE, CLAUDE)) == [
            ("tools", 1, None),
            ("system", 1, None),
            ("message 0", 2, None),
            ("message 0", 4, None),
        ]
        assert points(place_cache_points(params, ON, CLAUDE)) == [("tools", 1, None), ("system", 1, None)]

    def test_cache_point_threshold(self):
        params = make_params()
        eager = CacheConfig(enabled=True, cache_point_threshold=1)
        patient = CacheConfig(enabled=True, cache_point_threshold=2_000)
        assert points(place_cache_points(params, patient, CLAUDE)) == [("system", 1, None)]
        assert place_cache_points(params, eager, CLAUDE) == place_cache_points(params, ON, CLAUDE)

    def test_ttl(self):
        hour = CacheConfig(enabled=True, ttl="1h")
        assert points(place_cache_points(make_params(), hour, CLAUDE)) == [("tools", 1, "1h"), ("system", 1, "1h")]

    def test_custom_points_and_the_time_to_live_of_each(self):
        custom = CacheConfig(
            enabled=True,
            strategy=CacheStrategy.CUSTOM,
            custom_points=(CachePoint(CachePlace.CONVERSATION), CachePoint(CachePlace.TOOLS, "1h")),
        )
        assert points(place_cache_points(make_params(), custom, CLAUDE)) == [("tools", 1, "1h"), ("message 0", 1, None)]


class TestModels:
    def test_a_model_that_does_not_cache_gets_no_point_and_loses_those_of_the_caller(self):
        params = make_params({"text": LONG}, POINT, {"text": "a question"})
        assert place_cache_points(params, AGGRESSIVE, NEVER) == make_params({"text": LONG}, {"text": "a question"})

    @pytest.mark.parametrize("card", [None, UNKNOWN])
    def test_a_model_of_which_nothing_is_known_gets_points_from_aggressive_only(self, card):
        params = make_params(tools=())
        assert place_cache_points(params, ON, card) == params
        assert points(place_cache_points(params, AGGRESSIVE, card)) == [("system", 1, None), ("message 0", 1, None)]

    def test_the_callers_own_points_stay_where_nothing_is_known(self):
        params = make_params({"text": LONG}, HOUR, {"text": "a question"})
        assert place_cache_points(params, ON, None) == params

    def test_tools_are_cached_by_anthropics_models_only(self):
        assert points(place_cache_points(make_params(), ON, NOVA)) == [("system", 1, None)]

    def test_the_minimum_is_the_models(self):
        haiku = make_card("anthropic.claude-haiku-4-5", prompt_caching=True, prompt_cache_min_tokens=4096)
        assert points(place_cache_points(make_params(), ON, haiku)) == []
        assert points(place_cache_points(make_params(system=LONG * 3), ON, haiku)) == [("system", 1, None)]

    def test_where_no_minimum_is_known_it_is_1024(self):
        assert points(place_cache_points(make_params(system="word " * 819, tools=()), ON, NOVA)) == []
        assert points(place_cache_points(make_params(system="word " * 820, tools=()), ON, NOVA)) == [
            ("system", 1, None)
        ]

    def test_an_hour_goes_only_to_models_that_are_known_to_have_it(self):
        hour = CacheConfig(enabled=True, ttl="1h")
        silent = make_card(prompt_caching=True)
        assert points(place_cache_points(make_params(), hour, NOVA)) == [("system", 1, None)]
        assert points(place_cache_points(make_params(), hour, silent)) == [("tools", 1, None), ("system", 1, None)]

    def test_the_callers_hour_becomes_five_minutes_where_the_model_has_no_hour(self):
        params = make_params({"text": LONG}, HOUR, {"text": "a question"}, system=None, tools=())
        assert points(place_cache_points(params, ON, NOVA)) == [("message 0", 1, None)]


class TestPlaces:
    def test_the_parameters_given_are_not_changed(self):
        params = make_params({"text": LONG}, IMAGE, {"text": "a question"})
        before = copy.deepcopy(params)
        place_cache_points(params, AGGRESSIVE, CLAUDE)
        without_cache_points(params)
        assert params == before

    def test_everything_else_stays_as_it_was(self):
        params = make_params({"text": LONG}, IMAGE, {"text": "a question"})
        assert without_cache_points(place_cache_points(params, AGGRESSIVE, CLAUDE)) == params

    def test_placing_twice_is_placing_once(self):
        once = place_cache_points(make_params({"text": LONG}, IMAGE, {"text": "a question"}), AGGRESSIVE, CLAUDE)
        assert place_cache_points(once, AGGRESSIVE, CLAUDE) == once

    def test_the_callers_points_count_and_what_is_the_same_each_time_goes_first(self):
        own = [{"text": "a"}, POINT, {"text": "b"}, POINT, {"text": "c"}]
        placed = points(place_cache_points(make_params(*own, {"text": "d"}), AGGRESSIVE, CLAUDE))
        assert placed == [("tools", 1, None), ("system", 1, None), ("message 0", 1, None), ("message 0", 3, None)]
        own = [*own, POINT, {"text": "d"}]
        placed = points(place_cache_points(make_params(*own), AGGRESSIVE, CLAUDE))
        assert placed[0] == ("system", 1, None)
        assert len(placed) == MAX_CACHE_POINTS

    def test_a_point_that_is_there_already_is_not_doubled(self):
        params = make_params()
        params["system"].append(POINT)
        assert points(place_cache_points(params, ON, CLAUDE)) == [("tools", 1, None), ("system", 1, None)]

    def test_a_long_point_never_follows_a_short_one(self):
        hour = CacheConfig(enabled=True, strategy=CacheStrategy.AGGRESSIVE, ttl="1h")
        params = make_params()
        params["system"].append(POINT)
        assert points(place_cache_points(params, hour, CLAUDE)) == [
            ("tools", 1, "1h"),
            ("system", 1, None),
            ("message 0", 1, None),
        ]

    def test_points_before_a_long_one_of_the_caller_are_long(self):
        params = make_params({"text": LONG}, HOUR, {"text": "a question"})
        assert points(place_cache_points(params, ON, CLAUDE)) == [
            ("tools", 1, "1h"),
            ("system", 1, "1h"),
            ("message 0", 1, "1h"),
        ]

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ([{"text": LONG}, {"document": {"name": "a", "format": "pdf", "source": {"bytes": b"a"}}}], 2),
            ([{"text": LONG}, {"document": {"name": "a", "format": "csv", "source": {"bytes": b"a"}}}], 1),
            ([{"text": LONG}, {"document": {"name": "a", "source": {"text": "a"}}}], 1),
            ([{"text": LONG}, {"video": {"format": "mp4", "source": {"bytes": b"a"}}}], 1),
            ([{"text": LONG}, IMAGE], 2),
        ],
    )
    def test_no_point_follows_what_bedrock_lets_it_not_follow(self, content, expected):
        placed = points(place_cache_points(make_params(*content, system=None, tools=()), AGGRESSIVE, CLAUDE))
        assert placed[-1] == ("message 0", expected, None)

    def test_no_point_comes_first_in_a_message(self):
        params = make_params({"video": {"format": "mp4", "source": {"bytes": b"a"}}}, tools=())
        assert points(place_cache_points(params, AGGRESSIVE, CLAUDE)) == [("system", 1, None)]

    def test_no_point_in_the_answer_to_a_tool_that_thoughts_asked_for(self):
        thoughts = {"reasoningContent": {"reasoningText": {"text": LONG}}}
        call = {"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}
        before = [text_message("a"), {"role": "assistant", "content": [thoughts, call]}]
        result = {"toolResult": {"toolUseId": "t", "content": [{"text": LONG}]}}
        params = make_params(result, system=None, tools=(), before=before)
        assert points(place_cache_points(params, AGGRESSIVE, CLAUDE)) == []
        plain = make_params(result, system=None, tools=(), before=[before[0], {"role": "assistant", "content": [call]}])
        assert points(place_cache_points(plain, AGGRESSIVE, CLAUDE)) == [("message 2", 1, None)]

    def test_a_request_of_nothing_but_prompt_variables_has_no_place(self):
        params = BedrockConverseRequest(prompt_variables={"a": {"text": "b"}}).converse_params("m")
        assert place_cache_points(params, AGGRESSIVE, None) == params

    @pytest.mark.parametrize(
        ("block", "tokens"),
        [
            ({"text": "word " * 4}, 5),
            (POINT, 0),
            (IMAGE, 1_500),
            ({"document": {"name": "a", "format": "csv", "source": {"bytes": b"a" * 400}}}, 100),
            ({"document": {"name": "a", "format": "pdf", "source": {"bytes": b"a" * 400}}}, 1_500),
            ({"reasoningContent": {"redactedContent": b"a"}}, 11),
        ],
    )
    def test_tokens_are_estimated_from_the_text(self, block, tokens):
        assert estimate_tokens(block) == tokens

    blocks = st.lists(
        st.sampled_from(
            [{"text": LONG}, {"text": SHORT}, IMAGE, POINT, HOUR, {"reasoningContent": {"redactedContent": b""}}]
        ),
        min_size=1,
        max_size=6,
    )

    @given(content=blocks, system=st.sampled_from([None, SHORT, LONG]), tools=st.sampled_from([(), (TOOL,)]))
    def test_whatever_the_request_no_rule_of_bedrock_is_broken_by_a_new_point(self, content, system, tools):
        params = make_params(*content, system=system, tools=tools)
        own = points(params)
        placed = points(place_cache_points(params, AGGRESSIVE, CLAUDE))
        assert len(placed) <= max(MAX_CACHE_POINTS, len(own))
        assert len(placed) >= len(own)
        assert ("message 0", 0, None) not in placed or "cachePoint" in content[0]
        if len({ttl for _, _, ttl in own}) < 2:
            is_short = [ttl is None for _, _, ttl in placed]
            assert is_short == sorted(is_short)


class TestJobs:
    PREFIX = "How does this customer feel? " * 200
    FIXED = FixedPart(prompt_prefix=PREFIX)

    def ask(self, row, system=None):
        return make_params({"text": f"{self.PREFIX}<review>{row}</review>"}, system=system, tools=())

    def test_the_fixed_prompt_is_cached_and_the_row_follows(self):
        placed = place_cache_points(self.ask("Broke at once."), ON, CLAUDE, self.FIXED)
        assert placed["messages"][0]["content"] == [
            {"text": self.PREFIX},
            POINT,
            {"text": "<review>Broke at once.</review>"},
        ]

    def test_all_rows_have_the_same_blocks_up_to_the_point(self):
        rows = [place_cache_points(self.ask(row, LONG), ON, CLAUDE, self.FIXED) for row in ("a", "b")]
        assert rows[0]["system"] == rows[1]["system"]
        assert rows[0]["messages"][0]["content"][:2] == rows[1]["messages"][0]["content"][:2]
        assert points(rows[0]) == [("system", 1, None), ("message 0", 1, None)]

    def test_a_prompt_that_is_too_short_to_be_cached_stays_one_block(self):
        params = make_params({"text": "Judge: a"}, system=None, tools=())
        assert place_cache_points(params, ON, CLAUDE, FixedPart(prompt_prefix="Judge: ")) == params

    def test_the_prompt_stays_one_block_for_a_model_that_does_not_cache(self):
        assert place_cache_points(self.ask("a"), ON, NEVER, self.FIXED) == self.ask("a")

    @pytest.mark.parametrize("text", ["Something else", PREFIX, PREFIX + "  \n"])
    def test_a_prompt_that_does_not_go_on_from_the_prefix_stays_one_block(self, text):
        params = make_params({"text": text}, system=None, tools=())
        assert place_cache_points(params, ON, CLAUDE, self.FIXED) == params

    def test_a_system_prompt_that_changes_from_row_to_row_is_not_cached_nor_what_follows(self):
        changing = FixedPart(system=False, prompt_prefix=self.PREFIX)
        params = self.ask("a", LONG) | {"toolConfig": {"tools": [TOOL]}}
        assert points(place_cache_points(params, ON, CLAUDE, changing)) == [("tools", 1, None)]

    def test_aggressive_guesses_nothing_in_a_job(self):
        placed = place_cache_points(self.ask("a " * 3_000), AGGRESSIVE, CLAUDE, self.FIXED)
        assert points(placed) == [("message 0", 1, None)]


class TestInAConversation:
    @pytest.mark.parametrize(
        ("model_id", "expected"),
        [(CLAUDE.model_id, [("message 0", 1, None)]), (NEVER.model_id, []), ("somebody.unknown-v1:0", [])],
    )
    def test_each_model_gets_the_points_that_it_takes(self, model_id, expected):
        known = {card.model_id: card for card in (CLAUDE, NEVER)}
        policy = ConversePolicy(card_for=known.get, cache=ON, fixed=TestJobs.FIXED)
        route = Route(model_id, model_id, "us-east-1", "direct", ModelChoice(model_id))
        request = BedrockConverseRequest([text_message(f"{TestJobs.PREFIX}<review>a</review>")])
        conversation = Conversation(policy, request, policy.failover([route]), RouteBook())
        assert points(conversation.start(conversation.begin(0.0), 0.0).params) == expected


class TestExampleOfSeed003:
    def test_ten_requests_share_what_stands_before_the_callers_point(self):
        """The seed's claim, with its own point: 90 % less for what is read. Without it CONSERVATIVE caches no message,
        because a guess that is wrong costs a write; AGGRESSIVE guesses.
        """

        def ask(question, *, with_point):
            message = create_user_message().add_text("Analyze these architectural images...").add_block(IMAGE)
            message = message.add_block(IMAGE)
            message = message.add_cache_point() if with_point else message
            return {"modelId": "m", "messages": [message.add_text(question).build()]}

        asked = [place_cache_points(ask(f"Focus on aspect {n}", with_point=True), ON, CLAUDE) for n in range(10)]
        shared = [params["messages"][0]["content"][:4] for params in asked]
        assert all(blocks == shared[0] for blocks in shared)
        assert shared[0][3] == POINT
        bare = ask("Focus on aspect 2", with_point=False)
        assert points(place_cache_points(bare, ON, CLAUDE)) == []
        assert points(place_cache_points(bare, AGGRESSIVE, CLAUDE))[0] == ("message 0", 3, None)


PRICES = Prices(on_demand=TokenPrices(input=3.0, output=15.0, cache_read=0.3, cache_write_5m=3.75))


class TestEfficiency:
    def test_reading_saves_the_difference_to_the_price_of_input(self):
        usage = {"inputTokens": 100, "outputTokens": 10, "cacheReadInputTokens": 1_000_000}
        assert cache_savings_usd(usage, PRICES) == pytest.approx(2.7)

    def test_writing_costs_more_than_it_saves_until_it_is_read(self):
        usage = {"inputTokens": 100, "outputTokens": 10, "cacheWriteInputTokens": 1_000_000}
        assert cache_savings_usd(usage, PRICES) == pytest.approx(-0.75)

    def test_without_a_price_the_saving_is_not_known_and_without_a_cache_it_is_nothing(self):
        assert cache_savings_usd({"inputTokens": 1, "cacheReadInputTokens": 1}, None) is None
        assert cache_savings_usd({"inputTokens": 1, "outputTokens": 1}, None) == 0.0

    def make_response(self, *answers):
        attempts = tuple(
            RequestAttempt("m", "m", "us-east-1", "direct", 0.1, usage=usage, cache_savings_usd=saved)
            for usage, saved in answers
        )
        return BedrockResponse(success=True, attempts=attempts)

    def test_the_hit_ratio_is_a_share_of_all_that_went_in(self):
        """0.9.0 divides by what was not cached and says 90.0, and None where everything was."""
        found = self.make_response((Usage(100, 50, 900, 0), 0.5)).get_cache_efficiency()
        assert found == {
            "cache_hit_ratio": 0.9,
            "cache_read_tokens": 900,
            "cache_write_tokens": 0,
            "cache_savings_usd": 0.5,
        }
        assert self.make_response((Usage(0, 5, 10, 0), 0.1)).get_cache_efficiency()["cache_hit_ratio"] == 1.0

    def test_all_paid_answers_count(self):
        found = self.make_response((Usage(10, 5, 0, 90), -0.1), (Usage(10, 5, 90, 0), 0.4)).get_cache_efficiency()
        assert found["cache_hit_ratio"] == pytest.approx(0.45)
        assert found["cache_savings_usd"] == pytest.approx(0.3)

    def test_one_unknown_price_makes_the_saving_unknown(self):
        found = self.make_response((Usage(10, 5, 90, 0), 0.4), (Usage(10, 5, 90, 0), None)).get_cache_efficiency()
        assert found["cache_savings_usd"] is None

    def test_without_an_answer_there_is_nothing_to_say(self):
        assert BedrockResponse(success=False).get_cache_efficiency() is None

    @pytest.mark.parametrize("saved", [0.0, 0.4, -0.1, None])
    def test_it_survives_json(self, saved):
        response = self.make_response((Usage(10, 5, 90, 0), saved))
        assert BedrockResponse.from_dict(response.to_dict()).get_cache_efficiency() == response.get_cache_efficiency()
