"""Credentials that expire while a hook works are fetched anew, once for all requests that met the end of the old."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from harness.endpoint import KEYS

from airflow_provider_bedrock_llm.core.config import ParallelProcessingConfig, RetryConfig
from airflow_provider_bedrock_llm.core.errors import AuthenticationError
from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest, text_message
from airflow_provider_bedrock_llm.hooks.bedrock_llm import BedrockLLMHook

NOVA = "amazon.nova-lite-v1:0"
OLD = {**KEYS, "aws_access_key_id": "AKIDEXPIRED"}
REQUESTS = [BedrockConverseRequest([text_message(f"Number {number}.")]) for number in range(8)]


class RoleHook(BedrockLLMHook):
    """Gets its sessions as from a role: the first has expired, a new one is good."""

    sessions = 0

    def get_session(self, *args, **kwargs):
        self.sessions += 1
        return boto3.session.Session(**(OLD if self.sessions == 1 else KEYS), region_name="us-east-1")


@pytest.fixture
def hook(connected):
    connected.control.credential("AKIDEXPIRED", error="expired_token")
    connected.control.latency(0.1)
    return RoleHook(
        models=[NOVA],
        regions=["us-east-1"],
        retry_config=RetryConfig(max_retries=0),
        parallel_config=ParallelProcessingConfig(max_concurrent_requests=8),
    )


def ask_in_threads(hook):
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(hook.converse_with_request, REQUESTS))


def ask_on_a_loop(hook):
    return list(hook.converse_parallel(REQUESTS).request_responses.values())


@pytest.mark.parametrize("ask", [ask_in_threads, ask_on_a_loop])
def test_a_wave_of_requests_fetches_new_credentials_once_and_all_are_answered(connected, hook, ask):
    responses = ask(hook)
    assert [response.success for response in responses] == [True] * 8
    assert hook.sessions == 2
    outcomes = connected.control.stats().by_outcome
    assert outcomes["ok"] == 8
    assert outcomes["ExpiredTokenException"] <= 8


def test_credentials_that_stay_expired_are_an_error_after_one_renewal(connected, hook):
    connected.control.credential(KEYS["aws_access_key_id"], error="expired_token")
    with pytest.raises(AuthenticationError, match="Renew the session token in the Airflow connection"):
        hook.converse_with_request(REQUESTS[0])
    assert hook.sessions == 2
    assert connected.control.stats().calls == 2
