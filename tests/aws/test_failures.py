"""Whatever boto3, aiobotocore or the HTTP libraries under them raise has one meaning."""

import aiohttp
import pytest
import urllib3.exceptions
from botocore import exceptions as boto
from botocore.exceptions import ClientError, ParamValidationError
from botocore.parsers import ResponseParserError

from airflow_provider_bedrock_llm.aws.failures import EXPECTED, failure_from
from airflow_provider_bedrock_llm.core.faults import Fault, classify
from airflow_provider_bedrock_llm.core.transport import FailureKind

AT = {"endpoint_url": "https://x", "error": "e"}
KEY = aiohttp.client_reqrep.ConnectionKey("x", 443, True, True, None, None, None)

RAISED = [
    (boto.ReadTimeoutError(**AT), FailureKind.READ_TIMEOUT),
    (urllib3.exceptions.ReadTimeoutError(None, "/", "slow"), FailureKind.READ_TIMEOUT),
    (aiohttp.SocketTimeoutError("slow"), FailureKind.READ_TIMEOUT),
    (boto.ConnectTimeoutError(**AT), FailureKind.CONNECTION_FAILED),
    (boto.EndpointConnectionError(**AT), FailureKind.CONNECTION_FAILED),
    (boto.ProxyConnectionError(proxy_url="p", error="e"), FailureKind.CONNECTION_FAILED),
    (boto.SSLError(**AT), FailureKind.CONNECTION_FAILED),
    (aiohttp.ClientConnectorError(KEY, OSError(111, "refused")), FailureKind.CONNECTION_FAILED),
    (aiohttp.ConnectionTimeoutError("slow"), FailureKind.CONNECTION_FAILED),
    (boto.NoCredentialsError(), FailureKind.CREDENTIALS),
    (boto.PartialCredentialsError(provider="p", cred_var="v"), FailureKind.CREDENTIALS),
    (boto.CredentialRetrievalError(provider="p", error_msg="e"), FailureKind.CREDENTIALS),
    (boto.MetadataRetrievalError(error_msg="e"), FailureKind.CREDENTIALS),
    (boto.NoAuthTokenError(), FailureKind.CREDENTIALS),
    (boto.TokenRetrievalError(provider="p", error_msg="e"), FailureKind.CREDENTIALS),
    (boto.UnauthorizedSSOTokenError(), FailureKind.CREDENTIALS),
    (boto.SSOTokenLoadError(error_msg="e"), FailureKind.CREDENTIALS),
    (boto.ProfileNotFound(profile="p"), FailureKind.CREDENTIALS),
    (boto.ConnectionClosedError(**AT), FailureKind.CONNECTION_LOST),
    (boto.HTTPClientError(error="e"), FailureKind.CONNECTION_LOST),
    (boto.ResponseStreamingError(error="e"), FailureKind.CONNECTION_LOST),
    (boto.IncompleteReadError(actual_bytes=1, expected_bytes=2), FailureKind.CONNECTION_LOST),
    (urllib3.exceptions.ProtocolError("broken"), FailureKind.CONNECTION_LOST),
    (urllib3.exceptions.IncompleteRead(1, 2), FailureKind.CONNECTION_LOST),
    (aiohttp.ServerDisconnectedError(), FailureKind.CONNECTION_LOST),
    (aiohttp.ClientPayloadError("broken"), FailureKind.CONNECTION_LOST),
    (ResponseParserError("not JSON"), FailureKind.CONNECTION_LOST),
    (ConnectionResetError(104, "reset"), FailureKind.CONNECTION_LOST),
    (TimeoutError(), FailureKind.CONNECTION_LOST),
    (ParamValidationError(report="bad"), FailureKind.REJECTED),
    (boto.NoRegionError(), FailureKind.REJECTED),
    (boto.InvalidEndpointConfigurationError(msg="e"), FailureKind.REJECTED),
    (boto.InvalidRegionError(region_name="x y"), FailureKind.REJECTED),
]


def client_error(response):
    return ClientError(response, "Converse")


@pytest.mark.parametrize(("error", "kind"), RAISED, ids=lambda value: type(value).__name__)
def test_each_exception_has_its_kind(error, kind):
    assert isinstance(error, EXPECTED)
    failure = failure_from(error, 1.5)
    assert failure.kind is kind
    assert failure.code == type(error).__name__
    assert failure.duration_seconds == 1.5


@pytest.mark.parametrize("error", [KeyError("bug"), AttributeError("bug"), MemoryError(), KeyboardInterrupt()])
def test_a_bug_is_no_failure(error):
    assert not isinstance(error, EXPECTED)


def test_what_the_service_said_is_kept():
    failure = failure_from(
        client_error(
            {
                "Error": {"Code": "ModelErrorException", "Message": "it broke"},
                "ResponseMetadata": {
                    "HTTPStatusCode": 424,
                    "RequestId": "r-1",
                    "HTTPHeaders": {"x-amz-retry-after": "1500"},
                },
                "originalStatusCode": 429,
            }
        ),
        2.0,
    )
    assert (failure.kind, failure.code, failure.message) == (FailureKind.SERVICE, "ModelErrorException", "it broke")
    assert (failure.status, failure.request_id, failure.original_status) == (424, "r-1", 429)
    assert failure.retry_after_seconds == 1.5
    assert classify(failure) is Fault.THROTTLED


@pytest.mark.parametrize("header", ["soon", "", "nan", "inf", "-5"])
def test_a_hint_that_makes_no_sense_is_no_hint(header):
    response = {"Error": {}, "ResponseMetadata": {"HTTPHeaders": {"x-amz-retry-after": header}}}
    assert failure_from(client_error(response), 0).retry_after_seconds is None


@pytest.mark.parametrize("response", [{}, {"Error": {"Message": None}}, {"Error": {}, "ResponseMetadata": {}}])
def test_an_error_that_says_next_to_nothing_is_still_a_failure(response):
    failure = failure_from(client_error(response), 0)
    assert (failure.status, failure.request_id, failure.message) == (None, None, "")
    assert classify(failure) is Fault.UNKNOWN


def test_a_message_beside_the_error_is_found():
    assert failure_from(client_error({"Error": {"Code": "X"}, "message": "said so"}), 0).message == "said so"


@pytest.mark.parametrize("value", ["CANARY", "CANARY, type: <class 'int'>, CANARY", "line\nCANARY\nline"])
def test_values_that_botocore_refuses_are_not_repeated(value):
    report = (
        f"Invalid type for parameter messages[0].content[0].text, value: {value}, "
        "type: <class 'dict'>, valid types: <class 'str'>"
    )
    message = failure_from(ParamValidationError(report=report), 0).message
    assert "CANARY" not in message
    assert "messages[0].content[0].text" in message
    assert "valid types: <class 'str'>" in message
