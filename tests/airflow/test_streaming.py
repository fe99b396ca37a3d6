"""Streams from the hook and the operator, and the seeds' streaming example as it really works."""

import pytest
from harness.task import connect

from airflow_provider_bedrock_llm.core.config import RetryConfig
from airflow_provider_bedrock_llm.core.errors import ConfigurationError, StreamingError
from airflow_provider_bedrock_llm.core.request import text_message
from airflow_provider_bedrock_llm.core.stream import StreamRestarted
from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook
from airflow_provider_bedrock_llm.local import LocalEndpoint
from airflow_provider_bedrock_llm.operators.converse import BedrockConverseOperator

NOVA = "amazon.nova-lite-v1:0"
NO_WAIT = RetryConfig(retry_delay=0.0)
STORY = "Once upon a time there was a worker.\nNobody killed it, and it lived on until all of its rows were done."
MESSAGES = [text_message("Tell me a story.")]


def tell(call):
    last = call.messages[-1]
    beginning = last["content"][0]["text"] if last["role"] == "assistant" else ""
    return STORY[len(beginning) :]


@pytest.fixture(scope="module")
def story_teller():
    with LocalEndpoint(answerer=tell, tls_port=None) as endpoint:
        yield endpoint


@pytest.fixture
def control(story_teller, monkeypatch):
    story_teller.control.reset()
    connect(monkeypatch, extra={"endpoint_url": story_teller.url, "region_name": "us-east-1"})
    return story_teller.control


@pytest.fixture
def hook(control):
    return BedrockLLMHook(models=[NOVA], retry_config=NO_WAIT)


def test_the_example_of_seed_003_with_pieces_that_are_text(hook):
    # The seed iterates over dicts (`chunk.get("contentBlockDelta")`), and its own library yields str: AttributeError
    # (reference/llmmanager.md 1.12). Here a piece is the text itself, tool uses stand in the response at the end, and
    # no fallback to converse() is needed: before the first text the stream retries by itself.
    full_content = ""
    stream_response = hook.converse_stream(messages=MESSAGES)
    for piece in stream_response:
        full_content += piece
    assert full_content == STORY == stream_response.get_full_content()
    assert stream_response.response.get_tool_uses() == []


def test_after_the_last_piece_the_stream_tells_what_a_response_tells(hook):
    stream = hook.converse_stream(MESSAGES)
    assert stream.get_usage() is None
    assert not stream.success
    pieces = list(stream)
    assert len(pieces) > 2
    assert stream.success
    assert stream.get_usage() == stream.response.get_usage()
    assert stream.get_stop_reason() == "end_turn"
    assert stream.get_metrics() == stream.response.get_metrics()
    assert stream.time_to_first_piece_ms > 0
    assert stream.response.model_used == NOVA
    assert stream.response.cost_usd > 0


def test_the_response_reads_the_rest_of_the_stream(hook):
    stream = hook.converse_stream(MESSAGES)
    assert STORY.startswith(next(stream))
    assert stream.response.get_content() == STORY == stream.get_full_content()


def test_nothing_is_sent_before_the_first_piece_is_asked_for(control, hook):
    hook.converse_stream(MESSAGES)
    assert control.stats().calls == 0


def test_a_broken_stream_raises_and_keeps_what_came(control, hook):
    control.fail(action="cut_reply", after_events=3)
    stream = hook.converse_stream(MESSAGES)
    with pytest.raises(StreamingError, match="recovery") as caught:
        list(stream)
    assert STORY.startswith(stream.get_full_content())
    assert stream.get_full_content()
    assert not stream.success
    assert len(caught.value.attempts) == 1
    with pytest.raises(StreamingError):
        _ = stream.response


def test_a_restart_empties_what_was_collected(control, hook):
    control.fail(action="cut_reply", first=1, after_events=3)
    stream = hook.converse_stream(MESSAGES, recovery="restart")
    items = list(stream)
    assert [item for item in items if isinstance(item, StreamRestarted)] == stream.restarts
    assert len(stream.restarts) == 1
    assert stream.get_full_content() == STORY == stream.response.get_content()


def test_the_catalog_knows_which_models_can_continue(control, hook):
    control.fail(action="cut_reply", first=1, after_events=3)
    stream = hook.converse_stream(MESSAGES, recovery="continue")
    assert "".join(stream) == STORY
    assert hook.takes_prefill("us.anthropic.claude-sonnet-4-5-20250929-v1:0")
    assert not hook.takes_prefill("us.anthropic.claude-opus-4-6-v1")
    assert not hook.takes_prefill("made-up.model-v1")


def test_an_unknown_recovery_is_refused_before_anything_is_sent(hook):
    with pytest.raises(ConfigurationError, match="recovery='resume'"):
        hook.converse_stream(MESSAGES, recovery="resume")


def test_a_stream_that_is_closed_has_no_response(hook):
    with hook.converse_stream(MESSAGES) as stream:
        next(stream)
    with pytest.raises(StreamingError, match="closed before its end"):
        _ = stream.response


def run(task_instance, capsys, **arguments):
    """The task's value, and its log without times and places."""
    operator = BedrockConverseOperator(task_id="ask", prompt="Tell me a story.", models=[NOVA], **arguments)
    capsys.readouterr()
    value = operator.execute({"ti": task_instance})
    return value, capsys.readouterr().out.splitlines()


def line_with(lines, text):
    return next(number for number, line in enumerate(lines) if text in line)


def test_the_operator_shows_the_answer_in_the_log_line_by_line(control, task_instance, capsys):
    text, lines = run(task_instance, capsys, stream=True)
    assert text == STORY
    first, second = STORY.split("\n")
    assert line_with(lines, first) < line_with(lines, second)
    assert task_instance.xcoms["usage"]["outputTokens"] > 0
    assert task_instance.xcoms["stop_reason"] == "end_turn"


def test_the_operators_log_says_what_a_break_made_void(control, task_instance, capsys):
    control.fail(action="cut_reply", first=1, after_events=4)
    text, lines = run(task_instance, capsys, stream=True, retry_config=NO_WAIT)
    assert text == STORY
    void = line_with(lines, "is void")
    assert any(STORY.split("\n", maxsplit=1)[0] in line for line in lines[:void])
    assert all(any(said in line for line in lines[void:]) for said in STORY.split("\n"))


def test_without_stream_no_answer_is_in_the_log(control, task_instance, capsys):
    text, lines = run(task_instance, capsys)
    assert text == STORY
    assert any("answered after 1 call" in line for line in lines)
    assert not any("Once upon" in line for line in lines)
