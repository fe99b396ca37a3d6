"""One job as several mapped tasks: every row once, the quotas shared, the parts side by side."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from harness.enrichment_task import ROWS

from airflow_provider_bedrock_llm import ParallelProcessingConfig, plan_shards
from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.jobs.job import JobSpec
from airflow_provider_bedrock_llm.jobs.shard import Shard, fair_share

IDS = sorted(row["id"] for row in ROWS)


@pytest.fixture
def run_shards(enrich, task_instance):
    def execute(shards, **arguments):
        summaries = []
        for shard in shards:
            task_instance.map_index = shard["index"]
            summaries.append(enrich(shard=shard, **arguments))
        return summaries

    return execute


def ids_in(folder):
    return [json.loads(line)["id"] for part in folder.rglob("part-*") for line in part.read_text().splitlines()]


def test_shards_take_every_row_once_and_put_their_parts_side_by_side(run_shards, connected, tmp_path):
    out = tmp_path / "out"
    summaries = run_shards(plan_shards(count=3), output_uri=str(out))
    assert sorted(ids_in(out)) == IDS
    assert sorted(path.name for path in out.iterdir()) == [
        "_SUCCESS-0000-of-0003",
        "_SUCCESS-0001-of-0003",
        "_SUCCESS-0002-of-0003",
        "part-0000-of-0003.jsonl",
        "part-0001-of-0003.jsonl",
        "part-0002-of-0003.jsonl",
    ]
    assert all(summary["counts"]["total"] > 5 for summary in summaries)
    assert connected.control.stats().calls == len(ROWS)


def test_a_row_that_comes_moves_no_other_row(run_shards, connected, source):
    run_shards(plan_shards(count=3))
    source.write_text(json.dumps({"id": "first", "text": "new"}) + "\n" + source.read_text())
    run_shards(plan_shards(count=3))
    assert connected.control.stats().calls == len(ROWS) + 1


def test_another_number_of_shards_leaves_nothing_of_the_one_before(run_shards, tmp_path):
    out = tmp_path / "out"
    run_shards(plan_shards(count=5), output_uri=str(out), partition_by="country")
    run_shards(plan_shards(count=2), output_uri=str(out), partition_by="country")
    assert sorted(ids_in(out)) == IDS
    assert not list(out.rglob("*of-0005*"))


def test_one_shard_gives_what_the_whole_gives(run_shards, enrich, task_instance, connected):
    (shard,) = run_shards(plan_shards(count=1))
    task_instance.map_index = -1
    whole = enrich()
    assert Path(shard["output_uri"]).read_text() == Path(whole["output_uri"]).read_text()
    assert shard["counts"] == whole["counts"]


def test_more_shards_than_rows_leave_some_without_rows(run_shards, source):
    source.write_text(json.dumps(ROWS[0]) + "\n")
    totals = [summary["counts"]["total"] for summary in run_shards(plan_shards(count=4))]
    assert sorted(totals) == [0, 0, 0, 1]


def test_repeated_ids_meet_in_one_shard(run_shards, source):
    with source.open("a") as file:
        file.write('{"id": "r7", "text": "again"}\n')
    with pytest.raises(AirflowFailException, match="r7"):
        run_shards(plan_shards(count=4))


def test_rows_without_id_columns_are_dealt_by_what_they_hold(run_shards, source):
    source.write_text("".join(json.dumps({"text": f"t{n % 20}"}) + "\n" for n in range(40)))
    summaries = run_shards(plan_shards(count=3), id_column=None, keep_columns="text")
    lines = [json.loads(line) for summary in summaries for line in Path(summary["output_uri"]).read_text().splitlines()]
    assert Counter(line["text"] for line in lines) == {f"t{n}": 2 for n in range(20)}
    assert len({line["id"] for line in lines}) == 40


def test_dead_letters_have_a_file_per_shard(run_shards, connected, tmp_path):
    connected.control.fail("input_too_long", text="Text <3>.")
    run_shards(plan_shards(count=2), dead_letter_uri=str(tmp_path / "dead.jsonl"))
    texts = [(tmp_path / f"dead-000{n}-of-0002.jsonl").read_text() for n in range(2)]
    assert sorted(text.count("\n") for text in texts) == [0, 1]


def test_limits_are_shared_out_fairly():
    whole = ParallelProcessingConfig(max_concurrent_requests=50, tokens_per_minute={"m": 1_000_001})
    shares = [fair_share(whole, Shard(index, 3)) for index in range(3)]
    assert [share.max_concurrent_requests for share in shares] == [17, 17, 16]
    assert sum(share.tokens_per_minute["m"] for share in shares) == 1_000_001
    assert fair_share(ParallelProcessingConfig(max_concurrent_requests=2), Shard(3, 4)).max_concurrent_requests == 1
    assert fair_share(whole, None) is whole


def test_the_job_of_a_shard_has_its_share_of_concurrency_and_budget(run_shards):
    config = ParallelProcessingConfig(max_concurrent_requests=9)
    summaries = run_shards(plan_shards(count=3), parallel_config=config, budget={"usd": 6.0, "tokens": 1_000_000})
    specs = [JobSpec.load(summary["job_uri"]) for summary in summaries]
    assert [spec.parallel.max_concurrent_requests for spec in specs] == [3, 3, 3]
    assert [(spec.budget.usd, spec.budget.tokens) for spec in specs] == [(2.0, 333_333)] * 3


def test_a_budget_of_fewer_tokens_than_shards_is_refused(enrich, connected):
    with pytest.raises(AirflowFailException, match="2 tokens for 3 shards"):
        enrich(shard={"index": 0, "of": 3}, budget={"tokens": 2})
    assert connected.control.stats().calls == 0


def test_shards_are_planned_by_count_or_by_rows():
    assert plan_shards(count=2) == [{"index": 0, "of": 2}, {"index": 1, "of": 2}]
    assert len(plan_shards(1_000_001, rows_per_shard=100_000)) == 11
    assert plan_shards(0, rows_per_shard=10) == [{"index": 0, "of": 1}]


@pytest.mark.parametrize(
    "arguments", [{}, {"count": 0}, {"count": 2000}, {"rows_per_shard": 5}, {"count": 1, "rows_per_shard": 5}]
)
def test_plans_that_make_no_sense_are_refused(arguments):
    with pytest.raises(ConfigurationError, match="plan_shards"):
        plan_shards(**arguments)


def test_a_shard_that_is_none_is_refused(enrich, connected):
    with pytest.raises(AirflowFailException, match="index=3 of=3"):
        enrich(shard={"index": 3, "of": 3})
    assert connected.control.stats().calls == 0
