"""Clients are made once, share their settings, and sign with the keys that they were given."""

import threading
from concurrent.futures import ThreadPoolExecutor

import boto3
from harness.endpoint import KEYS, NOVA, say

from airflow_provider_bedrock_llm.aws.clients import Clients, ClientSettings
from airflow_provider_bedrock_llm.core.config import Boto3Config
from airflow_provider_bedrock_llm.core.transport import WireRequest

RUNTIME = "bedrock-runtime"
CONFIG = Boto3Config(read_timeout=901, connect_timeout=7, max_pool_connections=33, retries_max_attempts=4)
HELLO = WireRequest("converse", "us-east-1", {"modelId": NOVA, "messages": say("Hello.")})


def with_keys():
    return boto3.session.Session(**KEYS)


def settings(**fields):
    return ClientSettings(**{"open_session": with_keys, "boto3_config": CONFIG, "keys_first": True, **fields})


def test_threads_share_one_client_per_service_region_and_purpose():
    opened = []

    def open_session():
        opened.append(threading.get_ident())
        return with_keys()

    clients = Clients(settings(open_session=open_session))
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: id(clients.engine_client(RUNTIME, "us-east-1")), range(40)))
    assert len(made) == 1
    assert len(opened) == 1
    others = [
        clients.engine_client(RUNTIME, "us-west-2"),
        clients.engine_client("bedrock", "us-east-1"),
        clients.client(RUNTIME, "us-east-1"),
    ]
    assert len({*made, *map(id, others)}) == 4
    assert len(opened) == 1


def test_an_engine_client_makes_one_attempt_and_says_its_mode():
    client = Clients(settings()).engine_client(RUNTIME, "us-east-1")
    assert client.meta.config.retries == {"mode": "standard", "total_max_attempts": 1}


def test_another_client_retries_as_configured_and_says_its_mode():
    client = Clients(settings()).client("bedrock", "us-east-1")
    assert client.meta.config.retries == {"mode": "standard", "total_max_attempts": 5}  # four retries


def test_a_pool_is_raised_to_what_is_needed_and_never_lowered():
    assert settings().with_pool(200).boto3_config == Boto3Config(901, 7, 200, 4)
    assert settings().with_pool(5) == settings()


def test_an_endpoint_and_certificates_reach_the_client():
    client = Clients(settings(endpoint_url="http://127.0.0.1:1", verify=False)).engine_client(RUNTIME, "us-east-1")
    assert client.meta.endpoint_url == "http://127.0.0.1:1"


def test_renewing_opens_a_new_session_for_the_next_client():
    opened = []
    clients = Clients(settings(open_session=lambda: opened.append(1) or with_keys()))
    before = clients.engine_client(RUNTIME, "us-east-1")
    clients.renew()
    assert opened == [1]
    assert clients.engine_client(RUNTIME, "us-east-1") is not before
    assert opened == [1, 1]


def test_keys_first_leaves_the_signing_of_other_services_alone():
    client = Clients(settings()).client("s3", "us-east-1")
    assert client.meta.config.signature_version == "s3v4"
