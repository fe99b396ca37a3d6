"""Cache points are accounted for as AWS was recorded to do it."""

from __future__ import annotations

from harness.endpoint import NOVA, say

from airflow_provider_bedrock_llm.local.prompt_cache import CacheUse, PromptCache

LONG = "word " * 1_600


def body(*, system=LONG, ttl=None, question="x"):
    point = {"cachePoint": {"type": "default", **({"ttl": ttl} if ttl else {})}}
    return {"system": [{"text": system}, point], "messages": say(question)}


def test_the_first_call_writes_and_the_next_reads():
    cache = PromptCache()
    assert cache.account(body(), "a", 1024, 0.0) == CacheUse(0, 2_000, (("5m", 2_000),))
    assert cache.account(body(question="y"), "a", 1024, 1.0) == CacheUse(2_000, 0)


def test_a_prefix_is_forgotten_after_its_time_unless_it_was_read():
    cache = PromptCache()
    cache.account(body(), "a", 1024, 0.0)
    assert cache.account(body(), "a", 1024, 200.0).read_tokens == 2_000
    assert cache.account(body(), "a", 1024, 499.0).read_tokens == 2_000
    assert cache.account(body(), "a", 1024, 800.0).write_tokens == 2_000
    cache.account(body(ttl="1h"), "b", 1024, 0.0)
    assert cache.account(body(ttl="1h"), "b", 1024, 3_000.0).read_tokens == 2_000


def test_short_prefixes_and_other_scopes_are_not_shared():
    cache = PromptCache()
    assert cache.account(body(system="short"), "a", 1024, 0.0) == CacheUse()
    cache.account(body(), "a", 1024, 0.0)
    assert cache.account(body(), "b", 1024, 0.0).read_tokens == 0


def test_a_longer_prefix_reads_what_it_can_and_writes_the_rest():
    cache = PromptCache()
    cache.account(body(), "a", 1024, 0.0)
    grown = body()
    grown["messages"][0]["content"] = [{"text": LONG}, {"cachePoint": {"type": "default"}}, {"text": "and?"}]
    assert cache.account(grown, "a", 1024, 1.0) == CacheUse(2_000, 2_000, (("5m", 2_000),))


def test_usage_adds_up_and_leaves_cached_tokens_out_of_the_input(endpoint, runtime):
    plain = runtime.converse(modelId=NOVA, system=[{"text": LONG}], messages=say("x"))["usage"]
    first = runtime.converse(modelId=NOVA, **body())["usage"]
    second = runtime.converse(modelId=NOVA, **body())["usage"]
    assert (first["cacheWriteInputTokens"], first["cacheReadInputTokens"]) == (2_000, 0)
    assert (second["cacheWriteInputTokens"], second["cacheReadInputTokens"]) == (0, 2_000)
    assert first["cacheDetails"] == [{"ttl": "5m", "inputTokens": 2_000}]
    assert first["inputTokens"] + 2_000 == plain["inputTokens"]
    parts = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
    assert all(usage["totalTokens"] == sum(usage[part] for part in parts) for usage in (first, second))
    stats = endpoint.control.stats()
    assert (stats.cache_write_tokens, stats.cache_read_tokens) == (2_000, 2_000)
