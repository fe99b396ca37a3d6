"""A folded stream is the answer that Converse would have given, and nothing that comes makes the fold fail."""

import pytest
from harness.streams import answers, json_values, streamed, words
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bedrock_llm.core.stream import StreamFold
from airflow_provider_bedrock_llm.core.transport import Failure, FailureKind
from airflow_provider_bedrock_llm.testing import answer, stream_events


def fold(events, before=()):
    folded = StreamFold(before)
    pieces = [folded.hear(event) for event in events]
    return folded, pieces


def delta(value, index=0):
    return {"contentBlockDelta": {"delta": value, "contentBlockIndex": index}}


def start(value, index=0):
    return {"contentBlockStart": {"start": value, "contentBlockIndex": index}}


@given(answers.flatmap(lambda whole: st.tuples(st.just(whole), streamed(whole))))
def test_a_folded_stream_is_the_answer_that_converse_gives(case):
    whole, events = case
    folded, _ = fold(events)
    assert folded.response_data() == whole
    assert folded.is_complete
    assert folded.failure is None


@given(answers.flatmap(lambda whole: st.tuples(st.just(whole), streamed(whole))))
def test_the_pieces_are_the_text_of_the_answer(case):
    whole, events = case
    folded, pieces = fold(events)
    texts = []
    for block in whole["output"]["message"]["content"]:
        texts.append(block.get("text", ""))
        texts += [part["text"] for part in block.get("citationsContent", {}).get("content", ())]
    assert "".join(pieces) == "".join(texts) == folded.text


@given(answers.flatmap(streamed), st.data())
def test_a_stream_without_message_stop_is_not_complete(events, data):
    ends_at = next(number for number, event in enumerate(events) if "messageStop" in event)
    folded, _ = fold(events[: data.draw(st.integers(0, ends_at))])
    assert not folded.is_complete


NAMES = st.sampled_from(
    [
        *("messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"),
        *("delta", "start", "contentBlockIndex", "text", "toolUse", "toolResult", "reasoningContent", "citation"),
        *("image", "input", "source", "bytes", "signature", "redactedContent", "SDK_UNKNOWN_MEMBER", "name", "role"),
        *("usage", "trace", "stopReason", "throttlingException", "message", "originalStatusCode", "output"),
    ]
)
ANYTHING = st.recursive(
    json_values | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | words, inner, max_size=4),
    max_leaves=12,
)
SHAPED = st.one_of(
    st.builds(delta, ANYTHING, ANYTHING),
    st.builds(start, ANYTHING, ANYTHING),
    st.builds(delta, st.dictionaries(NAMES, ANYTHING, max_size=3), st.integers(-2, 2)),
    st.builds(start, st.dictionaries(NAMES, ANYTHING, max_size=3), st.integers(-2, 2)),
    st.dictionaries(NAMES, ANYTHING, max_size=2),
)


@given(st.lists(SHAPED | ANYTHING, max_size=8))
def test_no_sequence_of_events_makes_the_fold_fail(events):
    folded, pieces = fold(events)
    data = folded.response_data()
    assert all(isinstance(piece, str) for piece in pieces)
    assert all(isinstance(block, dict) for block in data["output"]["message"]["content"])
    assert folded.has_begun == bool(events)


@pytest.mark.parametrize(
    ("said", "given_input"),
    [
        ([], {}),
        ([""], {}),
        (['{"city": "Ber', 'lin"}'], {"city": "Berlin"}),
        (['{"city": "Ber'], '{"city": "Ber'),
        (["[" * 100_000], "[" * 100_000),
    ],
)
def test_a_tools_input_is_parsed_where_it_is_json_and_kept_as_text_where_not(said, given_input):
    ids = {"toolUseId": "t", "name": "weather"}
    events = [start({"toolUse": ids}), *(delta({"toolUse": {"input": piece}}) for piece in said)]
    assert fold(events)[0].content() == [{"toolUse": {**ids, "input": given_input}}]


def test_blocks_stand_in_the_order_of_their_index():
    folded, pieces = fold([delta({"text": "b"}, 1), delta({"text": "a"}, 0), delta({"text": "B"}, 1)])
    assert folded.content() == [{"text": "a"}, {"text": "bB"}]
    assert pieces == ["b", "a", "B"]


def test_a_block_that_this_package_does_not_know_is_kept():
    folded, _ = fold([start({"audio": {"format": "mp3"}}), delta({"audio": {"bytes": b"a"}}), delta({"audio": {}})])
    assert folded.content() == [{"audio": {"format": "mp3", "bytes": b"a"}}]


def test_reasoning_is_not_passed_on_as_text():
    folded, pieces = fold([delta({"reasoningContent": {"text": "hm"}}), delta({"text": "Yes."}, 1)])
    assert pieces == ["", "Yes."]
    assert not folded.is_only_text


def test_an_exception_that_comes_as_an_event_breaks_the_stream():
    told = {"modelStreamErrorException": {"message": "It broke.", "originalStatusCode": 500}}
    folded, _ = fold([delta({"text": "a"}), told, {"messageStop": {"stopReason": "end_turn"}}])
    assert folded.failure == Failure(FailureKind.STREAM, "modelStreamErrorException", "It broke.", original_status=500)
    assert not folded.is_complete


def test_an_exception_after_the_answer_was_complete_does_not_undo_it():
    events = [*stream_events(answer("done"))[:-1], {"throttlingException": {"message": "late"}}]
    folded, _ = fold(events)
    assert folded.is_complete
    assert folded.failure is None


def test_a_continued_answer_is_one_text():
    folded, pieces = fold([delta({"text": "lo wor"}), delta({"text": "ld"})], [{"text": "Hel"}])
    assert pieces == ["lo wor", "ld"]
    assert folded.text == "Hello world"
    assert folded.content() == [{"text": "Hello world"}]


@pytest.mark.parametrize(
    ("said", "more", "passed_on"),
    [
        ("a, ", [" b"], "b"),
        ("a,\n", ["\n\nb"], "\nb"),
        ("a, ", ["b"], "b"),
        ("a,  ", [" ", " ", " b"], " b"),
        ("a, ", ["\nb"], "\nb"),
        ("a", [" b"], " b"),
    ],
)
def test_space_that_was_passed_on_is_not_said_twice(said, more, passed_on):
    folded, pieces = fold([delta({"text": piece}) for piece in more], [{"text": said}])
    assert "".join(pieces) == passed_on
    assert folded.content() == [{"text": said + passed_on}]


def test_a_continued_answer_may_go_on_with_a_tool():
    use = {"toolUseId": "t", "name": "n"}
    folded, _ = fold([start({"toolUse": use})], [{"text": "Let me look."}])
    assert folded.content() == [{"text": "Let me look."}, {"toolUse": {**use, "input": {}}}]
