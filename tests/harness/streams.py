"""Answers and how they are split into a stream's events, for Hypothesis."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

words = st.text(max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
json_objects = st.dictionaries(words, json_values, max_size=4)
tool_ids = st.fixed_dictionaries({"toolUseId": words, "name": words}, optional={"type": words})
locations = st.sampled_from(
    [{"web": {"url": "https://example.com"}}, {"documentPage": {"documentIndex": 0, "start": 1, "end": 2}}]
)
citations = st.fixed_dictionaries(
    {"title": words},
    optional={
        "source": words,
        "sourceContent": st.lists(words.map(lambda text: {"text": text})),
        "location": locations,
    },
)
blocks = st.one_of(
    words.map(lambda text: {"text": text}),
    st.builds(lambda ids, given: {"toolUse": {**ids, "input": given}}, tool_ids, json_objects),
    st.builds(
        lambda ids, content: {"toolResult": {**ids, "content": content}},
        st.fixed_dictionaries({"toolUseId": words}, optional={"status": words, "type": words}),
        st.lists(words.map(lambda text: {"text": text}) | json_values.map(lambda value: {"json": value}), max_size=3),
    ),
    st.fixed_dictionaries({"text": words}, optional={"signature": words}).map(
        lambda told: {"reasoningContent": {"reasoningText": told}}
    ),
    st.binary(max_size=9).map(lambda held: {"reasoningContent": {"redactedContent": held}}),
    st.builds(
        lambda text, cited: {"citationsContent": {"content": [{"text": text}], "citations": cited}},
        words,
        st.lists(citations, min_size=1, max_size=3),
    ),
    st.binary(max_size=9).map(lambda held: {"image": {"format": "png", "source": {"bytes": held}}}),
    words.map(lambda name: {"SDK_UNKNOWN_MEMBER": {"name": name}}),
)
answers = st.builds(
    lambda content, rest: {"output": {"message": {"role": "assistant", "content": content}}, **rest},
    st.lists(blocks, max_size=4),
    st.fixed_dictionaries(
        {"stopReason": words, "metrics": st.just({"latencyMs": 5})},
        optional={
            "usage": st.just({"inputTokens": 3, "outputTokens": 4, "totalTokens": 7, "cacheDetails": [{"ttl": "1h"}]}),
            "trace": st.just({"guardrail": {"actionReason": "No action."}}),
            "performanceConfig": st.just({"latency": "optimized"}),
            "serviceTier": st.just({"type": "flex"}),
            "additionalModelResponseFields": json_objects,
        },
    ),
)


@st.composite
def streamed(draw: Any, answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of an answer, cut into increments at any place."""
    message = answer["output"]["message"]
    events: list[dict[str, Any]] = [{"messageStart": {"role": message["role"]}}]
    for index, block in enumerate(message["content"]):
        start, deltas = draw(_increments(block))
        if start:
            events.append({"contentBlockStart": {"start": start, "contentBlockIndex": index}})
        events += [{"contentBlockDelta": {"delta": delta, "contentBlockIndex": index, "p": "abc"}} for delta in deltas]
        events.append({"contentBlockStop": {"contentBlockIndex": index}})
    last = {"stopReason", "additionalModelResponseFields"}
    events.append({"messageStop": {name: value for name, value in answer.items() if name in last}})
    events.append({"metadata": {name: value for name, value in answer.items() if name not in {"output", *last}}})
    return events


@st.composite
def _increments(draw: Any, block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    ((kind, held),) = block.items()
    if kind == "text":
        return {}, [{"text": piece} for piece in draw(_pieces(held))]
    if kind == "toolUse":
        start = {name: value for name, value in held.items() if name != "input"}
        pieces = draw(_pieces(json.dumps(held["input"]))) if held["input"] or draw(st.booleans()) else []
        return {kind: start}, [{kind: {"input": piece}} for piece in pieces]
    if kind == "toolResult":
        start = {name: value for name, value in held.items() if name != "content"}
        return {kind: start}, [{kind: [item]} for item in held["content"]]
    if kind == "reasoningContent" and "redactedContent" in held:
        return {}, [{kind: {"redactedContent": piece}} for piece in draw(_pieces(held["redactedContent"]))]
    if kind == "reasoningContent":
        told = held["reasoningText"]
        deltas = [{kind: {"text": piece}} for piece in draw(_pieces(told["text"]))]
        return {}, [*deltas, *([{kind: {"signature": told["signature"]}}] if "signature" in told else [])]
    if kind == "citationsContent":
        texts = [{"text": piece} for piece in draw(_pieces(held["content"][0]["text"]))]
        return {}, [*texts, *({"citation": citation} for citation in held["citations"])]
    if kind == "image":
        return {kind: {"format": "png"}}, [
            {kind: {"source": {"bytes": piece}}} for piece in draw(_pieces(held["source"]["bytes"]))
        ]
    return {}, [{kind: held}]


@st.composite
def _pieces(draw: Any, whole: Any) -> list[Any]:
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    return [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
