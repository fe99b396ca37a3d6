"""Functions become tools by their hints; their input is checked, their result told, and limits hold."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

import pytest
from harness.answers import answer_of
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from airflow_provider_bedrock_llm.core.answer_parts import ToolUse
from airflow_provider_bedrock_llm.core.errors import ConfigurationError, ToolLimitError
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.core.response import BedrockResponse
from airflow_provider_bedrock_llm.core.tools import PendingTool, Tool, ToolDialogue, ToolLimits, ToolOutput

QUESTION = text_message("What is the weather in Berlin?")
REQUEST = BedrockConverseRequest([QUESTION], system=[{"text": "Be brief."}])


class Unit(StrEnum):
    CELSIUS = "celsius"
    KELVIN = "kelvin"


class Place(BaseModel):
    city: str


def weather(
    city: Annotated[str, Field(description="a city's name")],
    day: dt.date,
    unit: Unit = Unit.CELSIUS,
    *,
    near: Place | None = None,
) -> str:
    """The weather of a day."""
    return f"{city} {day} {unit}"


class Warehouse:
    def orders(self, year: int) -> int:
        """Orders of a year."""
        return year


def use(name="weather", number=1, **given_input):
    return {"toolUse": {"toolUseId": f"tooluse_{number}", "name": name, "input": given_input, "type": "tool_use"}}


def response(*blocks, stop_reason="tool_use", cost_usd=0.01):
    return BedrockResponse(
        success=True, response_data=answer_of(*blocks, stop_reason=stop_reason), cost_usd=cost_usd, model_used="m"
    )


def dialogue(*tools, request=REQUEST, **limits):
    return ToolDialogue(request, tools or [weather], ToolLimits(**limits))


def test_the_schema_comes_from_hints_and_the_description_from_the_docstring():
    spec = Tool.of(weather).to_wire()["toolSpec"]
    assert (spec["name"], spec["description"]) == ("weather", "The weather of a day.")
    schema = spec["inputSchema"]["json"]
    assert schema["required"] == ["city", "day"]
    assert schema["properties"]["city"]["description"] == "a city's name"
    assert schema["properties"]["day"] == {"format": "date", "title": "Day", "type": "string"}
    assert schema["properties"]["unit"]["default"] == "celsius"
    assert "strict" not in spec


def test_a_method_is_a_tool_without_its_self():
    tool = Tool.of(Warehouse().orders, name="orders_of", description="x", strict=True)
    assert tool.input_schema["properties"].keys() == {"year"}
    spec = tool.to_wire()["toolSpec"]
    assert (spec["name"], spec["description"], spec["strict"]) == ("orders_of", "x", True)


def test_an_async_function_is_a_tool():
    async def later(schema: int) -> int:  # a parameter may be called what a pydantic model's method is called
        return schema

    assert Tool.of(later).arguments({"schema": "3"}) == ((), {"schema": 3})


def test_arguments_are_converted_to_the_types_of_the_hints():
    args, kwargs = Tool.of(weather).arguments({"city": "Berlin", "day": "2026-11-21", "near": {"city": "Potsdam"}})
    assert args == ()
    assert kwargs == {
        "city": "Berlin",
        "day": dt.date(2026, 11, 21),
        "unit": Unit.CELSIUS,
        "near": Place(city="Potsdam"),
    }


@pytest.mark.parametrize(
    ("given_input", "told"),
    [
        ({"city": "Berlin"}, "day: Missing"),
        ({"city": "Berlin", "day": "tomorrow"}, "day: "),
        ({"city": "B", "day": "2026-11-21", "secret": 1}, "secret: Unexpected"),
        ({"city": 1, "day": "2026-11-21"}, "city: "),
        ('{"city": "Ber', "not a JSON object"),
        (None, "not a JSON object"),
    ],
)
def test_an_input_that_does_not_fit_is_told_with_its_place(given_input, told):
    with pytest.raises(ValueError, match=told):
        Tool.of(weather).arguments(given_input)


def test_an_input_is_never_part_of_the_error():
    with pytest.raises(ValueError, match="day") as caught:
        Tool.of(weather).arguments({"city": "Berlin", "day": "a-private-thing"})
    assert "a-private-thing" not in str(caught.value)


def positional(city, /):
    return city


def open_ended(*cities: str):
    return cities


@pytest.mark.parametrize("function", [positional, open_ended, 5, Warehouse, lambda city: city])
def test_what_cannot_be_a_tool_is_refused_when_it_is_made(function):
    with pytest.raises(ConfigurationError, match=r"[tT]ool"):
        Tool.of(function)


def test_a_type_that_json_cannot_hold_is_refused_when_the_tool_is_made():
    def ask(warehouse: Warehouse) -> None: ...

    with pytest.raises(ConfigurationError, match="'ask'"):
        Tool.of(ask)


@pytest.mark.parametrize("tools", [[], [weather, weather]])
def test_each_tool_needs_a_name_of_its_own(tools):
    with pytest.raises(ConfigurationError, match="each name once"):
        ToolDialogue(REQUEST, tools, ToolLimits())


@pytest.mark.parametrize("limits", [{"max_turns": 0}, {"max_cost_usd": 0.0}, {"max_cost_usd": float("nan")}])
def test_limits_that_allow_nothing_are_refused(limits):
    with pytest.raises(ConfigurationError, match=next(iter(limits))):
        ToolLimits(**limits)


@dataclass
class Row:
    at: dt.date
    price: Decimal


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("sunny", {"text": "sunny"}),
        ("", {"json": {"result": ""}}),
        (" \n", {"json": {"result": " \n"}}),
        (None, {"json": {"result": None}}),
        (3, {"json": {"result": 3}}),
        ([1, "a"], {"json": {"result": [1, "a"]}}),
        ({"a": {1}}, {"json": {"a": [1]}}),
        (Place(city="Berlin"), {"json": {"city": "Berlin"}}),
        (Row(dt.date(2026, 11, 21), Decimal("1.10")), {"json": {"at": "2026-11-21", "price": "1.10"}}),
        (float("nan"), {"json": {"result": "NaN"}}),
        (b"\xff", {"json": {"result": "_w=="}}),
        (ToolOutput([{"image": {"format": "png", "source": {"bytes": b"x"}}}]), None),
    ],
)
def test_a_result_is_told_in_blocks_that_converse_takes(value, content):
    call = PendingTool(ToolUse("t", "n", {})).returned(value)
    assert list(call.content) == ([content] if content else value.content)
    assert call.to_wire()["toolResult"]["status"] == "success"


def test_a_result_that_cannot_be_told_is_an_error_for_the_model():
    call = PendingTool(ToolUse("t", "n", {})).returned(object())
    assert call.to_wire()["toolResult"]["status"] == "error"
    assert "serialize" in call.error


def test_the_first_request_offers_the_tools_and_only_it_forces_one():
    talk = ToolDialogue(REQUEST, [weather], ToolLimits(), {"any": {}})
    assert talk.first.system == REQUEST.system
    assert talk.first.tool_config["toolChoice"] == {"any": {}}
    (pending,) = talk.take(response(use(city="Berlin", day="2026-11-21")))
    second = talk.tell([pending.returned("sunny")])
    assert second.tool_config == {"tools": [Tool.of(weather).to_wire()]}
    assert second.system == REQUEST.system


def test_tools_of_the_requests_own_are_kept():
    own = {"tools": [{"systemTool": {"name": "nova_grounding"}}], "toolChoice": {"auto": {}}}
    talk = dialogue(request=BedrockConverseRequest([QUESTION], tool_config=own))
    assert talk.first.tool_config["tools"][0] == own["tools"][0]
    assert talk.first.tool_config["toolChoice"] == {"auto": {}}


def test_the_model_gets_its_own_turn_and_every_result_in_order():
    talk = dialogue()
    pending = talk.take(
        response({"text": "Let me look."}, use(city="A", day="2026-11-21"), use("rain", 2), use(number=3))
    )
    assert [one.error is None for one in pending] == [True, False, False]
    assert "There is no tool 'rain'. There are: weather." in pending[1].error
    request = talk.tell([pending[0].returned("sunny"), *(one.refused(one.error) for one in pending[1:])])
    question, said, told = request.messages
    assert question == QUESTION
    assert said["content"][1] == {
        "toolUse": {"toolUseId": "tooluse_1", "name": "weather", "input": pending[0].use.input}
    }
    results = [block["toolResult"] for block in told["content"]]
    assert [(one["toolUseId"], one["status"]) for one in results] == [
        ("tooluse_1", "success"),
        ("tooluse_2", "error"),
        ("tooluse_3", "error"),
    ]
    assert results[0]["content"] == [{"text": "sunny"}]


def test_an_exception_of_a_tool_is_told_by_its_kind_and_text():
    call = PendingTool(ToolUse("t", "n", {})).failed(KeyError("Atlantis"))
    assert call.error == "KeyError: 'Atlantis'"
    assert call.content == ({"text": "KeyError: 'Atlantis'"},)


def test_the_run_tells_what_all_turns_took():
    talk = dialogue()
    (pending,) = talk.take(response(use(city="B", day="2026-11-21"), cost_usd=0.25))
    talk.tell([pending.returned("sunny")])
    assert talk.take(response({"text": "Sunny."}, stop_reason="end_turn", cost_usd=0.5)) == []
    run = talk.run
    assert (run.turns, run.cost_usd, len(run.calls)) == (2, 0.75, 1)
    assert run.response.get_content() == "Sunny."
    assert [message["role"] for message in run.messages] == ["user", "assistant", "user", "assistant"]


def test_a_price_that_is_not_known_makes_the_cost_unknown():
    talk = dialogue()
    talk.take(response({"text": "Sunny."}, stop_reason="end_turn", cost_usd=None))
    assert talk.run.cost_usd is None


@pytest.mark.parametrize("stop_reason", ["max_tokens", "malformed_tool_use", "guardrail_intervened", None])
def test_a_tool_use_that_may_be_cut_off_is_not_run(stop_reason):
    talk = dialogue()
    assert talk.take(response(use(city="B", day="2026-11-21"), stop_reason=stop_reason)) == []
    assert talk.run.response.has_tool_use()


def test_a_tool_that_aws_runs_is_left_to_aws():
    server = {"toolUse": {"toolUseId": "t", "name": "code", "input": {}, "type": "server_tool_use"}}
    talk = dialogue()
    assert talk.take(response(server, {"text": "42"}, stop_reason="end_turn")) == []


@pytest.mark.parametrize(
    ("limits", "cost_usd", "text"),
    [
        ({"max_turns": 1}, 0.01, r"`max_turns` \(now 1\)"),
        ({"max_cost_usd": 0.01}, 0.01, r"`max_cost_usd` \(now 0.01\)"),
        ({"max_cost_usd": 5.0}, None, "price of m is not known"),
    ],
)
def test_a_limit_ends_the_round_trip_before_the_tool_runs_and_loses_nothing(limits, cost_usd, text):
    talk = dialogue(**limits)
    wanted = response(use(city="B", day="2026-11-21"), cost_usd=cost_usd)
    with pytest.raises(ToolLimitError, match=text) as caught:
        talk.take(wanted)
    assert caught.value.run.response is wanted
    assert caught.value.run.calls == ()


@pytest.mark.parametrize("limits", [{"max_turns": 1}, {"max_cost_usd": 0.01}])
def test_an_answer_at_the_limit_is_an_answer(limits):
    talk = dialogue(**limits)
    assert talk.take(response({"text": "Sunny."}, stop_reason="end_turn")) == []


def rate(score: float, label: Literal["good", "bad"] = "good") -> None: ...


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["score", "label", "x"]), inner, max_size=3)
        ),
        max_leaves=6,
    )
)
def test_whatever_a_model_gives_is_taken_or_told(given_input):
    told = ""
    try:
        _, kwargs = Tool.of(rate).arguments(given_input)
    except ValueError as error:
        told, kwargs = str(error), {}
    assert bool(told) is not (isinstance(kwargs.get("score"), float) and kwargs["label"] in {"good", "bad"})
