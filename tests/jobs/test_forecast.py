"""What a job says before it runs is what it takes."""

import json
from dataclasses import replace

import pytest
from harness.job_engine import CountingEngine, answered
from harness.job_folder import QUICK, job_of, rows_of, write_rows

from airflow_provider_bedrock_llm.core.errors import TemplateError
from airflow_provider_bedrock_llm.core.pricing import Prices, TokenPrices
from airflow_provider_bedrock_llm.jobs.forecast import forecast
from airflow_provider_bedrock_llm.jobs.runner import run_job

PRICES = [Prices(TokenPrices(input=1.0, output=5.0))]


def test_every_row_of_a_new_job_is_to_be_asked(tmp_path):
    spec = job_of(tmp_path, rows_of(5_000), inference_config={"maxTokens": 50})

    found = forecast(spec, PRICES)

    assert (found.rows, found.reused_rows, found.distinct_rows) == (5_000, 0, 5_000)
    assert found.output_tokens.high == 250_000
    assert found.input_tokens.low < 5_000 * 10 < found.input_tokens.high
    assert not spec.folder.child("lease").names()


@pytest.mark.parametrize("changed", [0, 1, 40])
async def test_what_has_an_answer_is_left_out_and_the_length_of_answers_is_learned(tmp_path, changed):
    rows = rows_of(100)
    spec = job_of(tmp_path, rows)
    await run_job(spec, CountingEngine(), pace=QUICK)
    write_rows(tmp_path / "rows.jsonl", [row | {"text": "new"} if row["id"] in ids(changed) else row for row in rows])

    found = forecast(spec, PRICES)

    assert (found.reused_rows, found.distinct_rows) == (100 - changed, changed)
    assert found.output_tokens.likely == 5 * changed


def ids(count):
    return {f"r{number}" for number in range(count)}


def test_with_dedupe_equal_requests_count_once(tmp_path):
    rows = [{"id": number, "text": f"text {number % 100}"} for number in range(1_000)]

    assert forecast(job_of(tmp_path, rows, dedupe=True), PRICES).distinct_rows == 100
    assert forecast(job_of(tmp_path, rows, dedupe=False), PRICES).distinct_rows == 1_000


def test_bedrock_counts_a_sample_only(tmp_path):
    counted = []

    def count_tokens(request):
        counted.append(request)
        return 100

    found = forecast(job_of(tmp_path, rows_of(3_000)), PRICES, count_tokens)

    assert len(counted) == 20
    assert found.input_tokens.likely == pytest.approx(300_000, rel=0.1)


def test_rows_that_cannot_be_asked_do_not_stop_it(tmp_path):
    spec = job_of(tmp_path, [*rows_of(10), {"id": "x"}], on_bad_record="skip")

    assert forecast(spec, PRICES).rows == 11


def test_a_schema_costs_input_tokens(tmp_path):
    spec = job_of(tmp_path, rows_of(10))
    schema = {"type": "object", "properties": {f"field_{n}": {"type": "string"} for n in range(30)}}

    with_schema, without = forecast(replace(spec, output_schema=schema), PRICES), forecast(spec, PRICES)

    assert with_schema.input_tokens.likely > without.input_tokens.likely + 10 * len(json.dumps(schema)) / 6


async def test_the_tokens_of_a_run_lie_within_its_estimate(tmp_path):
    spec = job_of(tmp_path, rows_of(200), inference_config={"maxTokens": 20})
    found = forecast(spec, PRICES)

    manifest = await run_job(spec, CountingEngine(lambda _: answered("x")), pace=QUICK)

    assert found.input_tokens.low <= manifest.usage["inputTokens"] <= found.input_tokens.high
    assert found.output_tokens.low <= manifest.usage["outputTokens"] <= found.output_tokens.high


@pytest.mark.parametrize("template", ["{{ note }}", "{{ text.nothing.at_all }}"])
def test_a_template_that_takes_no_record_has_no_estimate(tmp_path, template):
    spec = job_of(tmp_path, rows_of(30), prompt_template=template)
    with pytest.raises(TemplateError, match=r"30 of 30 records .* cannot be asked: .*nothing was spent"):
        forecast(spec, PRICES)


def test_a_row_that_the_template_does_not_take_is_left_out(tmp_path):
    rows = [{"id": "a", "text": "x"}, {"id": "b"}, {"id": "c", "text": "y"}]
    assert forecast(job_of(tmp_path, rows), PRICES).input_tokens.likely > 0
    nothing_fits = job_of(tmp_path, rows, prompt_template="{{ note }}", on_bad_record="skip")
    assert forecast(nothing_fits, PRICES).rows == 3
