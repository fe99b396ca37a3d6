"""The round trip with tools, in a thread and on an event loop, by one suite."""

import asyncio

import pytest
from harness.answers import answer_of
from harness.engines import Talk, in_turn

from airflow_provider_bedrock_llm.aws.converse import AsyncEngine, Engine
from airflow_provider_bedrock_llm.aws.tools import run_tools, run_tools_async
from airflow_provider_bedrock_llm.core.errors import RequestValidationError, ToolLimitError
from airflow_provider_bedrock_llm.core.pricing import Prices, TokenPrices
from airflow_provider_bedrock_llm.core.request import text_message
from airflow_provider_bedrock_llm.testing import AsyncFakeTransport, FakeTransport, failure

QUESTION = [text_message("How many?")]


def stock(product: str) -> int:
    """Pieces in stock."""
    return {"teapot": 12}[product]


async def stock_later(product: str) -> int:
    """Pieces in stock, from a slow place."""
    await asyncio.sleep(0)
    return stock(product)


def use(name, number=1, **given):
    return {"toolUse": {"toolUseId": f"t{number}", "name": name, "input": given}}


def wants(*uses):
    return answer_of(*uses, stop_reason="tool_use")


@pytest.fixture(params=["threads", "asyncio"])
def run(request):
    def start(tools, *answers, prices=None, **settings):
        talk = Talk(policy={"prices_for": lambda *_: prices})
        respond = in_turn(*answers)
        if request.param == "threads":
            talk.transport = FakeTransport(respond)
            result = run_tools(Engine(talk.transport, talk.policy, talk.plan).ask, QUESTION, tools, **settings)
        else:
            talk.transport = AsyncFakeTransport(respond)
            engine = AsyncEngine(talk.transport, talk.policy, talk.plan)
            result = asyncio.run(run_tools_async(engine.ask, QUESTION, tools, **settings))
        return result, talk.sent

    return start


@pytest.mark.parametrize("tool", [stock, stock_later], ids=["plain", "async"])
def test_the_model_gets_the_result_and_answers(run, tool):
    done, sent = run([tool], wants(use(tool.__name__, product="teapot")), "Twelve.")
    assert done.response.get_content() == "Twelve."
    (call,) = done.calls
    assert (call.input, call.content, call.error) == ({"product": "teapot"}, ({"json": {"result": 12}},), None)
    assert sent[1]["messages"][-1]["content"][0]["toolResult"]["content"] == [{"json": {"result": 12}}]
    assert done.messages[-1] == {"role": "assistant", "content": [{"text": "Twelve."}]}


def test_several_uses_of_a_turn_are_answered_together_and_in_order(run):
    uses = [use("stock", 1, product="teapot"), use("stock_later", 2, product="teapot"), use("stock", 3)]
    done, sent = run([stock, stock_later], wants(*uses), "Twelve.")
    told = [block["toolResult"] for block in sent[1]["messages"][-1]["content"]]
    assert [(one["toolUseId"], one["status"]) for one in told] == [
        ("t1", "success"),
        ("t2", "success"),
        ("t3", "error"),
    ]
    assert "product" in done.calls[2].error


def test_what_a_tool_raises_is_told_and_the_model_may_try_again(run):
    first, second = wants(use("stock", 1, product="teapots")), wants(use("stock", 2, product="teapot"))
    done, sent = run([stock], first, second, "Twelve.")
    assert [call.error for call in done.calls] == ["KeyError: 'teapots'", None]
    assert sent[1]["messages"][-1]["content"][0]["toolResult"]["status"] == "error"
    assert done.turns == 3


def test_named_exceptions_of_a_tool_end_the_round_trip(run):
    with pytest.raises(KeyError, match="kettle"):
        run([stock], wants(use("stock", product="kettle")), "None.", raise_on=(KeyError,))


def test_an_exception_that_is_not_an_error_always_passes_through(run):
    def leave() -> None:
        raise GeneratorExit

    with pytest.raises(GeneratorExit):
        run([leave], wants(use("leave")), "Bye.")


def test_a_model_that_never_ends_is_ended(run):
    with pytest.raises(ToolLimitError, match="max_turns") as caught:
        run([stock], wants(use("stock", product="teapot")), max_turns=3)
    assert caught.value.run.turns == 3
    assert len(caught.value.run.calls) == 2


def test_no_turn_starts_once_the_money_is_spent(run):
    prices = Prices(TokenPrices(input=1_000_000.0, output=1_000_000.0))  # an answer of 10 + 5 tokens costs 15 dollars
    with pytest.raises(ToolLimitError, match="max_cost_usd") as caught:
        run([stock], wants(use("stock", product="teapot")), prices=prices, max_cost_usd=40.0)
    assert (caught.value.run.turns, caught.value.run.cost_usd) == (3, 45.0)


def test_a_request_that_fails_ends_the_round_trip(run):
    refused = failure("ValidationException", "no")
    with pytest.raises(RequestValidationError):
        run([stock], wants(use("stock", product="teapot")), refused)


def test_fields_of_the_request_go_with_every_turn(run):
    system = [{"text": "Be brief."}]
    _, sent = run([stock], wants(use("stock", product="teapot")), "Twelve.", system=system, tool_choice={"any": {}})
    assert [params["system"] for params in sent] == [system, system]
    assert ["toolChoice" in params["toolConfig"] for params in sent] == [True, False]
