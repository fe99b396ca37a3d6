"""How records are cut into batch jobs, what the jobs are called, and how a chunk moves on."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bedrock_llm.core.batch_options import BatchOptions
from airflow_provider_bedrock_llm.core.batch_plan import (
    BatchLimits,
    Chunk,
    ChunkState,
    JobView,
    job_name,
    plan_slices,
    poll_seconds,
    record_id,
    record_number,
    request_token,
)
from airflow_provider_bedrock_llm.core.errors import ConfigurationError

ROLE = "arn:aws:iam::111122223333:role/Batch"


@st.composite
def limits(draw):
    least = draw(st.integers(1, 8))
    return BatchLimits(
        min_records=least,
        max_records=draw(st.integers(least, 20)),
        max_file_bytes=draw(st.integers(40, 300)),
    )


@given(st.lists(st.integers(1, 40), max_size=80), limits())
def test_every_slice_is_a_job_that_aws_takes_and_no_record_is_in_two(sizes, limits):
    at = 0
    for one in plan_slices(sizes, limits):
        assert one.start >= at
        assert limits.min_records <= one.records <= limits.max_records
        assert one.size_bytes == sum(sizes[one.start : one.stop]) <= limits.max_file_bytes
        at = one.stop
    assert at <= len(sizes)


@given(st.integers(0, 500), st.integers(1, 50))
def test_of_records_of_one_size_fewer_than_a_job_needs_are_left(count, least):
    limits = BatchLimits(min_records=least, max_records=2 * least, max_file_bytes=10**9)
    left = count - sum(one.records for one in plan_slices([10] * count, limits))
    assert left == (count if count < least else 0)


def test_a_small_rest_is_shared_out():
    slices = plan_slices([1] * 102, BatchLimits(min_records=50, max_records=100))
    assert [one.records for one in slices] == [51, 51]


@pytest.mark.parametrize("number", [0, 1, 42, 9_999_999_999])
def test_record_ids_are_eleven_letters_and_digits_and_tell_their_number(number):
    assert re.fullmatch(r"[A-Za-z0-9]{11}", record_id(number))
    assert record_number(record_id(number)) == number


@pytest.mark.parametrize("given", [None, 7, "", "R", "Rx", "0000000001L", "X0000000001"])
def test_ids_of_others_are_none_of_ours(given):
    assert record_number(given) is None


def test_the_token_and_the_name_fit_the_api_and_name_one_chunk_of_one_job():
    tokens = {request_token(job, chunk, print_) for job in "ab" for chunk in "cd" for print_ in "ef"}
    assert len(tokens) == 8
    token = request_token("job", "001-00001", "f")
    assert re.fullmatch(r"[a-zA-Z0-9]{1,256}", token)
    name = job_name("a/very/long/folder" * 20, "001-00001", token)
    assert re.fullmatch(r"[a-zA-Z0-9]{1,63}(-*[a-zA-Z0-9\+\-\.]){0,63}", name)
    assert len(name) <= 63
    assert name.startswith(job_name("a/very/long/folder" * 20, ""))


@given(st.integers(0, 10_000))
def test_waits_grow_up_to_the_longest(looks):
    now, later = poll_seconds(looks, 20, 300), poll_seconds(looks + 1, 20, 300)
    assert 20 <= now <= later <= 300


def test_a_chunk_moves_forward_only():
    chunk = Chunk("001-00001", 10, 0, 100, "t", "n", "s3://b/i", "s3://b/o/", "r")
    submitted = chunk.intended().submitted("arn:job")
    assert submitted.intended() is submitted
    assert [chunk.is_open, submitted.is_open, submitted.landed("Completed").is_open] == [True, True, False]
    assert chunk.intended().dropped().state is ChunkState.DROPPED
    with pytest.raises(ValueError, match="arn:job"):
        submitted.dropped()


@pytest.mark.parametrize("status", ["Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired"])
def test_ends_are_known(status):
    assert JobView.from_wire({"jobArn": "a", "jobName": "n", "status": status}).has_ended
    assert not JobView.from_wire({"jobArn": "a", "status": "Stopping"}).has_ended


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"s3_uri": "s3://bucket/x"}, "batch_role_arn=''"),
        ({"role_arn": ROLE}, "batch_s3_uri=''"),
        ({"role_arn": ROLE, "s3_uri": "https://bucket/x"}, "batch_s3_uri"),
        ({"role_arn": ROLE, "s3_uri": "s3://bucket/x", "timeout_hours": 12}, "timeout_hours=12"),
        ({"role_arn": ROLE, "s3_uri": "s3://bucket/x", "first_poll_seconds": 900}, "first_poll_seconds=900"),
    ],
)
def test_what_a_batch_job_lacks_is_said(settings, text):
    with pytest.raises(ConfigurationError, match=re.escape(text)):
        BatchOptions(**settings)


def test_limits_that_contradict_are_said():
    with pytest.raises(ValueError, match="min_records=10"):
        BatchLimits(min_records=10, max_records=5)
