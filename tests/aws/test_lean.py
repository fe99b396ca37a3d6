"""What the lean transport takes over from botocore, and what it does by itself."""

import asyncio
import datetime as dt
import subprocess
import sys
import threading
from urllib.parse import quote

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials, RefreshableCredentials
from botocore.exceptions import NoCredentialsError
from harness.endpoint import KEYS, NOVA, say
from harness.plain_server import PlainServer
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bedrock_llm.aws.clients import ClientSettings
from airflow_provider_bedrock_llm.aws.lean_service import LeanService
from airflow_provider_bedrock_llm.aws.lean_signing import KeySigner, sign_v4
from airflow_provider_bedrock_llm.aws.lean_transport import LeanTransport
from airflow_provider_bedrock_llm.core.transport import Reply, WireRequest

PARAMS = {"modelId": NOVA, "messages": say("Hello.")}
RUNTIME = "bedrock-runtime"


def with_keys():
    return boto3.session.Session(**KEYS)


def test_the_one_private_name_that_it_touches_is_there():
    assert callable(with_keys()._session.get_config_variable)


def test_it_needs_no_aiobotocore():
    code = (
        "import sys; sys.modules['aiobotocore'] = None\n"
        "import airflow_provider_bedrock_llm.aws.lean_transport, airflow_provider_bedrock_llm.aws.converse"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("region", "environment", "endpoint_url", "expected"),
    [
        ("us-east-1", {}, None, "https://bedrock-runtime.us-east-1.amazonaws.com"),
        ("cn-north-1", {}, None, "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"),
        ("us-east-1", {"AWS_USE_FIPS_ENDPOINT": "true"}, None, "https://bedrock-runtime-fips.us-east-1.amazonaws.com"),
        ("us-east-1", {"AWS_USE_DUALSTACK_ENDPOINT": "true"}, None, "https://bedrock-runtime.us-east-1.api.aws"),
        ("us-east-1", {"AWS_ENDPOINT_URL": "https://proxy.example/a"}, None, "https://proxy.example/a"),
        ("us-west-2", {}, "https://vpce-1.{service}.{region}.example", f"https://vpce-1.{RUNTIME}.us-west-2.example"),
    ],
)
@pytest.mark.parametrize("operation", ["converse", "converse_stream"])
def test_endpoints_are_botocores(operation, region, environment, endpoint_url, expected, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = ClientSettings(with_keys, endpoint_url=endpoint_url)
    assert LeanService(with_keys(), settings, RUNTIME, region).prepare(operation, PARAMS).base_url == expected


def test_a_service_asks_botocore_without_sending_anything():
    service = LeanService(
        with_keys(), ClientSettings(with_keys, endpoint_url="http://127.0.0.1:9"), RUNTIME, "us-east-1"
    )
    prepared = [service.prepare(name, PARAMS) for name in ("converse", "converse_stream")]
    assert prepared[0].signer is prepared[1].signer


class Keys:
    """Keys that last as long as told, and are fetched when told."""

    def __init__(self, lasts_seconds):
        self.lasts_seconds = lasts_seconds
        self.fetches = []
        self.may_fetch = threading.Event()
        self.source = RefreshableCredentials.create_from_metadata(self.metadata(), self.fetch, "test")

    def metadata(self):
        ends = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.lasts_seconds)
        number = len(self.fetches)
        return {"access_key": f"AKID{number}", "secret_key": "s", "token": "t", "expiry_time": ends.isoformat()}

    def fetch(self):
        self.fetches.append(threading.current_thread() is threading.main_thread())
        self.may_fetch.wait(20)
        self.lasts_seconds = 7200
        return self.metadata()


async def signed_by(signer):
    headers = await signer.sign("https://a.example/b", {}, b"")
    return headers["Authorization"].split("Credential=")[1].split("/")[0]


async def test_calls_go_on_with_the_old_keys_while_new_ones_are_fetched():
    keys = Keys(lasts_seconds=7200)
    signer = KeySigner(keys.source, "bedrock", "us-east-1")
    assert await signed_by(signer) == "AKID0"
    keys.source._expiry_time = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=12 * 60)
    assert [await signed_by(signer) for _ in range(5)] == ["AKID0"] * 5
    keys.may_fetch.set()
    while await signed_by(signer) == "AKID0":  # noqa: ASYNC110 - botocore has no event
        await asyncio.sleep(0.01)
    assert await signed_by(signer) == "AKID1"
    assert keys.fetches == [False]


async def test_calls_wait_for_new_keys_together_where_the_old_ones_are_at_their_end():
    keys = Keys(lasts_seconds=5)
    signer = KeySigner(keys.source, "bedrock", "us-east-1")
    waiting = [asyncio.create_task(signed_by(signer)) for _ in range(20)]
    await asyncio.sleep(0.05)
    waiting[0].cancel()
    keys.may_fetch.set()
    assert await asyncio.gather(*waiting[1:]) == ["AKID1"] * 19
    assert keys.fetches == [False]


NAMES = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1).map(lambda name: f"X-{name}")
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1).filter(str.strip)
HOSTS = [
    "https://a.example",
    "http://127.0.0.1:8799",
    "https://a.example:443/b",
    "http://[::1]:80",
]
MODELS = st.text(min_size=1).map(lambda text: quote(text, safe="-._~"))


@given(
    base=st.sampled_from(HOSTS),
    model=MODELS,
    query=st.sampled_from(["", "?b=2&a=1", "?a=%20x"]),
    headers=st.dictionaries(NAMES, VALUES, max_size=3),
    body=st.binary(),
    token=st.sampled_from([None, "a-token"]),
)
def test_signatures_are_botocores(base, model, query, headers, body, token):
    keys = ReadOnlyCredentials("AKID", "secret", token)
    url = f"{base}/model/{model}/converse{query}"
    request = AWSRequest("POST", url, headers, body)
    SigV4Auth(keys, "bedrock", "us-east-1").add_auth(request)
    now = dt.datetime.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
    signed = sign_v4(keys, "us-east-1", "bedrock", url, headers, body, now)
    assert signed == {name: str(value) for name, value in request.headers.items()}


def test_without_credentials_there_is_no_signer():
    with pytest.raises(NoCredentialsError):
        KeySigner(None, "bedrock", "us-east-1")


async def test_a_request_that_was_not_written_to_its_end_is_sent_again_at_once():
    text = "long " * 4_000_000
    async with PlainServer("answer", "reset") as server:
        transport = LeanTransport(ClientSettings(with_keys, endpoint_url=server.url, keys_first=True))
        try:
            assert isinstance(await transport.send(WireRequest("converse", "us-east-1", PARAMS)), Reply)
            long = {**PARAMS, "messages": say(text)}
            assert isinstance(await transport.send(WireRequest("converse", "us-east-1", long)), Reply)
        finally:
            await transport.close()
    assert [seen.connection for seen in server.seen] == [1, 2]
    assert len(server.seen[1].body) > len(text)
