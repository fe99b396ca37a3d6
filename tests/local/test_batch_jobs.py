"""Batch jobs of the local endpoint, over moto's S3: states, counts, faults, quotas, tokens, time."""

from __future__ import annotations

import time

import pytest
from botocore.exceptions import ClientError
from harness.endpoint import NOVA, make_client, say
from harness.store import BUCKET, ROLE, store

from airflow_provider_bedrock_llm.local import LocalEndpoint

__all__ = ["store"]

TITAN = "amazon.titan-embed-text-v2:0"
OUTPUT = f"s3://{BUCKET}/out/"


@pytest.fixture(scope="module")
def served(store):
    with LocalEndpoint(s3_endpoint=store.url) as endpoint:
        client = make_client(endpoint, "bedrock")
        yield endpoint, client
        client.close()


@pytest.fixture
def endpoint(served, store):
    served[0].control.reset()
    served[0].control.batch(min_records=1)
    store.empty()
    return served[0]


@pytest.fixture
def bedrock(served, endpoint):
    return served[1]


def records(count, **members):
    body = {"messages": say("Rate this."), "inferenceConfig": {"maxTokens": 20}, **members}
    return [{"recordId": f"R{number:010}", "modelInput": body} for number in range(count)]


def request_for(uri, **changes):
    return {
        "jobName": "a-job",
        "roleArn": ROLE,
        "modelId": NOVA,
        "modelInvocationType": "Converse",
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": uri}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": OUTPUT}},
        **changes,
    }


def ended(bedrock, arn, *until):
    until = until or ("Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired")
    while (job := bedrock.get_model_invocation_job(jobIdentifier=arn))["status"] not in until:
        time.sleep(0.02)
    return job


def run(bedrock, uri, **changes):
    arn = bedrock.create_model_invocation_job(**request_for(uri, **changes))["jobArn"]
    return ended(bedrock, arn)


def output_of(store, job, name="rows.jsonl"):
    return store.lines(f"out/{job['jobArn'].rpartition('/')[2]}/{name}.out")


def test_a_job_answers_every_record_beside_its_input_and_counts_them(endpoint, bedrock, store):
    job = run(bedrock, store.put_lines("in/rows.jsonl", records(40)))
    assert job["status"] == "Completed"
    assert (job["totalRecordCount"], job["successRecordCount"], job["errorRecordCount"]) == (40, 40, 0)
    lines = output_of(store, job)
    assert {line["recordId"] for line in lines} == {one["recordId"] for one in records(40)}
    assert [line["recordId"] for line in lines] != [one["recordId"] for one in records(40)], "no order to rely on"
    assert all(line["modelInput"] == records(1)[0]["modelInput"] for line in lines)
    assert all(line["modelOutput"]["output"]["message"]["content"][0]["text"] for line in lines)
    manifest = store.lines(f"out/{job['jobArn'].rpartition('/')[2]}/manifest.json.out")[0]
    assert manifest["outputTokenCount"] == sum(line["modelOutput"]["usage"]["outputTokens"] for line in lines)


def test_a_record_that_goes_wrong_has_an_error_and_the_job_goes_on(endpoint, bedrock, store):
    endpoint.control.fail("internal", operation="BatchRecord", every=4)
    job = run(bedrock, store.put_lines("in/rows.jsonl", records(8)))
    errors = [line["error"] for line in output_of(store, job) if "error" in line]
    assert job["status"] == "Completed"
    assert job["errorRecordCount"] == 2
    assert [error["errorCode"] for error in errors] == [500, 500]


def test_tools_are_refused_record_by_record(endpoint, bedrock, store):
    tools = {"tools": [{"toolSpec": {"name": "t", "inputSchema": {"json": {"type": "object"}}}}]}
    job = run(bedrock, store.put_lines("in/rows.jsonl", records(2, toolConfig=tools)))
    assert {line["error"]["errorCode"] for line in output_of(store, job)} == {400}


def test_embeddings_come_in_the_shape_of_invoke_model(endpoint, bedrock, store):
    lines = [{"recordId": "R1", "modelInput": {"inputText": "a text", "dimensions": 256}}]
    uri = store.put_lines("in/rows.jsonl", lines)
    job = run(bedrock, uri, modelId=TITAN, modelInvocationType="InvokeModel")
    assert len(output_of(store, job)[0]["modelOutput"]["embedding"]) == 256


def test_a_prefix_means_all_files_under_it(endpoint, bedrock, store):
    for name in ("a", "b"):
        store.put_lines(f"many/{name}.jsonl", records(3))
    job = run(bedrock, f"s3://{BUCKET}/many/")
    assert job["totalRecordCount"] == 6
    assert [len(output_of(store, job, f"{name}.jsonl")) for name in ("a", "b")] == [3, 3]


def test_the_same_token_names_the_same_job_and_another_request_under_it_conflicts(endpoint, bedrock, store):
    uri = store.put_lines("in/rows.jsonl", records(2))
    first, again = (
        bedrock.create_model_invocation_job(**request_for(uri, clientRequestToken="t1"))["jobArn"] for _ in range(2)
    )
    assert first == again
    with pytest.raises(bedrock.exceptions.ConflictException):
        bedrock.create_model_invocation_job(**request_for(uri, clientRequestToken="t1", jobName="b-job"))
    other = bedrock.create_model_invocation_job(**request_for(uri, clientRequestToken="t2"))["jobArn"]
    assert other != first
    assert len(endpoint.control.batch_jobs()) == 2


def test_a_lost_reply_leaves_a_job_that_its_token_finds(endpoint, bedrock, store):
    uri = store.put_lines("in/rows.jsonl", records(2))
    endpoint.control.fail(action="cut_reply", operation="CreateModelInvocationJob", first=1)
    with pytest.raises(Exception, match="closed"):
        bedrock.create_model_invocation_job(**request_for(uri, clientRequestToken="t1"))
    arn = bedrock.create_model_invocation_job(**request_for(uri, clientRequestToken="t1"))["jobArn"]
    assert [job["jobArn"] for job in endpoint.control.batch_jobs()] == [arn]


def test_a_job_that_is_stopped_keeps_what_it_has(endpoint, bedrock, store):
    endpoint.control.batch(min_records=1, record_seconds=0.02)
    uri = store.put_lines("in/rows.jsonl", records(500))
    arn = bedrock.create_model_invocation_job(**request_for(uri))["jobArn"]
    while ended(bedrock, arn, "InProgress").get("processedRecordCount", 0) < 2:
        time.sleep(0.02)
    bedrock.stop_model_invocation_job(jobIdentifier=arn)
    job = ended(bedrock, arn)
    assert job["status"] == "Stopped"
    assert len(output_of(store, job)) == job["processedRecordCount"] < 500
    with pytest.raises(bedrock.exceptions.ConflictException):
        bedrock.stop_model_invocation_job(jobIdentifier=arn)


@pytest.mark.parametrize(
    ("pace", "status"),
    [({"queue_seconds": 60}, "Expired"), ({"record_seconds": 0.1}, "PartiallyCompleted")],
    ids=["queued", "begun"],
)
def test_a_job_that_runs_out_of_time_ends_early(endpoint, bedrock, store, pace, status):
    endpoint.control.batch(min_records=1, hour_seconds=0.01, **pace)
    job = run(bedrock, store.put_lines("in/rows.jsonl", records(20)))
    assert job["status"] == status
    assert job["processedRecordCount"] < 20


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"min_records": 5}, "less records"),
        ({"max_records": 2}, "more records"),
        ({"max_file_bytes": 10}, "larger than"),
        ({"max_job_bytes": 10}, "larger than"),
    ],
)
def test_input_outside_the_quotas_fails_the_job(endpoint, bedrock, store, settings, text):
    endpoint.control.batch(**{"min_records": 1, **settings})
    job = run(bedrock, store.put_lines("in/rows.jsonl", records(4)))
    assert (job["status"], text in job["message"]) == ("Failed", True)


def test_input_that_is_missing_or_malformed_fails_the_job(endpoint, bedrock, store):
    assert run(bedrock, f"s3://{BUCKET}/in/none.jsonl")["status"] == "Failed"
    job = run(bedrock, store.put_lines("in/rows.jsonl", [{"recordId": "R1"}]))
    assert "Line 1 of rows.jsonl" in job["message"]


def test_jobs_in_flight_are_counted_per_model(endpoint, bedrock, store):
    endpoint.control.batch(min_records=1, jobs_in_flight=1, queue_seconds=60)
    uri = store.put_lines("in/rows.jsonl", records(2))
    bedrock.create_model_invocation_job(**request_for(uri))
    with pytest.raises(ClientError, match="ServiceQuotaExceededException"):
        bedrock.create_model_invocation_job(**request_for(uri))
    bedrock.create_model_invocation_job(**request_for(uri, modelId="amazon.nova-micro-v1:0"))


def test_jobs_are_listed_by_name_and_status_in_pages(endpoint, bedrock, store):
    uri = store.put_lines("in/rows.jsonl", records(1))
    for number in range(5):
        ended(bedrock, bedrock.create_model_invocation_job(**request_for(uri, jobName=f"job-{number}"))["jobArn"])
    pages = bedrock.get_paginator("list_model_invocation_jobs").paginate(PaginationConfig={"PageSize": 2})
    names = [one["jobName"] for page in pages for one in page["invocationJobSummaries"]]
    assert names == [f"job-{number}" for number in reversed(range(5))]
    found = bedrock.list_model_invocation_jobs(nameContains="b-3", statusEquals="Completed")["invocationJobSummaries"]
    assert [one["jobName"] for one in found] == ["job-3"]
    assert bedrock.list_model_invocation_jobs(statusEquals="Failed")["invocationJobSummaries"] == []


def test_a_job_of_another_region_is_not_seen(endpoint, bedrock, store):
    arn = bedrock.create_model_invocation_job(**request_for(store.put_lines("in/rows.jsonl", records(1))))["jobArn"]
    elsewhere = make_client(endpoint, "bedrock", region="eu-central-1")
    with pytest.raises(elsewhere.exceptions.ResourceNotFoundException):
        elsewhere.get_model_invocation_job(jobIdentifier=arn)
    elsewhere.close()
