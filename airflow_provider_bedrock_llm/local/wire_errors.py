"""What Bedrock says when it refuses a call: code, HTTP status, header and text.

The texts are those of real replies, collected from recordings and public reports (section 5 of the project's
Bedrock reference). Clients tell faults apart by them, so they are kept to the letter, U+2019 included.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PRESETS", "ErrorReply", "Refused", "preset", "validation"]

_NAMESPACE = ":http://internal.amazon.com/coral/com.amazon.bedrock/"
_NO_MEMBERS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """One refusal as it goes over the wire.

    `members` are further modelled members (`originalStatusCode`), `extra_headers` such as Retry-After go beside the
    error's own, `message_key` is "Message" where AWS's
    authentication layer answers, `raw_body` replaces the JSON (a proxy's HTML page), and an empty `code` leaves the
    error header out.
    """

    code: str
    status: int
    message: str
    members: Mapping[str, Any] = field(default_factory=lambda: _NO_MEMBERS)
    extra_headers: Mapping[str, str] = field(default_factory=lambda: _NO_MEMBERS)
    message_key: str = "message"
    raw_body: bytes | None = None
    content_type: str = "application/json"

    def headers(self) -> dict[str, str]:
        named = {"x-amzn-ErrorType": self.code + _NAMESPACE} if self.code else {}
        return {**named, **self.extra_headers}

    def body(self) -> bytes:
        if self.raw_body is not None:
            return self.raw_body
        return json.dumps({**self.members, self.message_key: self.message}, ensure_ascii=False).encode()

    def filled(self, **values: str) -> ErrorReply:
        """The reply with `{model}`, `{region}` and `{account}` in its text replaced."""
        text = self.message
        for name, value in values.items():
            text = text.replace("{" + name + "}", value)
        return replace(self, message=text)


class Refused(Exception):  # noqa: N818 - it ends a call as AWS does; the reply is the error
    """Ends the handling of a call with an error reply."""

    def __init__(self, reply: ErrorReply) -> None:
        super().__init__(reply.code, reply.message)
        self.reply = reply


def validation(message: str) -> Refused:
    """The refusal for a request that AWS finds wrong: ValidationException, 400."""
    return Refused(ErrorReply("ValidationException", 400, message))


_TRY_LATER = "please wait before trying again."
_UNEXPECTED = "The system encountered an unexpected error during processing. Try your request again."
_MARKETPLACE = (
    "Model access is denied due to IAM user or service role is not authorized to perform the required AWS "
    "Marketplace actions (aws-marketplace:ViewSubscriptions, aws-marketplace:Subscribe) to enable access to this "
    "model. Refer to the Amazon Bedrock documentation for further details. Your AWS Marketplace subscription for "
    "this model cannot be completed at this time. If you recently fixed this issue, try again after 2 minutes."
)
_USE_CASE = (
    "Model use case details have not been submitted for this account. Fill out the Anthropic use case details form "
    "before using the model. If you have already filled out the form, try again in 15 minutes."
)
_LEGACY = (
    "Access denied. This Model is marked by provider as Legacy and you have not been actively using the model in "
    "the last 30 days. Please upgrade to an active model on Amazon Bedrock"
)
_END_OF_LIFE = (
    "This model version has reached the end of its life. Please refer to the AWS documentation for more details."
)
_ON_DEMAND = (
    "Invocation of model ID {model} with on-demand throughput isn\u2019t supported. Retry your request with the ID "
    "or ARN of an inference profile that contains this model."
)
_CALLER = "User: arn:aws:iam::{account}:user/local is not authorized to perform: bedrock:InvokeModel on resource: "
_RESOURCE = "arn:aws:bedrock:{region}::foundation-model/{model}"

PRESETS: Mapping[str, ErrorReply] = MappingProxyType(
    {
        "too_many_requests": ErrorReply("ThrottlingException", 429, f"Too many requests, {_TRY_LATER}"),
        "too_many_tokens": ErrorReply("ThrottlingException", 429, f"Too many tokens, {_TRY_LATER}"),
        "daily_quota": ErrorReply("ThrottlingException", 429, f"Too many tokens per day, {_TRY_LATER}"),
        # AWS's words for this one are not on public record; the shape is the service model's.
        "model_not_ready": ErrorReply(
            "ModelNotReadyException", 429, "The model specified in the request is not ready to serve requests."
        ),
        "overloaded": ErrorReply("ServiceUnavailableException", 503, f"Too many connections, {_TRY_LATER}"),
        "unavailable": ErrorReply("ServiceUnavailableException", 503, "Bedrock is unable to process your request."),
        "internal": ErrorReply("InternalServerException", 500, _UNEXPECTED),
        # As with model_not_ready: our words, the model's shape.
        "model_timeout": ErrorReply(
            "ModelTimeoutException", 408, "The request took too long to process. Processing time exceeded the limit."
        ),
        "model_error": ErrorReply(
            "ModelErrorException", 424, _UNEXPECTED, {"originalStatusCode": 500, "resourceName": "{model}"}
        ),
        "service_quota": ErrorReply(
            "ServiceQuotaExceededException", 400, "Your request exceeds the service quota for your account."
        ),
        "needs_profile": ErrorReply("ValidationException", 400, _ON_DEMAND),
        "no_on_demand": ErrorReply(
            "ValidationException", 400, "The provided model doesn't support on-demand throughput."
        ),
        "invalid_model": ErrorReply("ValidationException", 400, "The provided model identifier is invalid."),
        "input_too_long": ErrorReply("ValidationException", 400, "Input is too long for requested model."),
        "no_count_tokens": ErrorReply(
            "ValidationException", 400, "The provided model doesn't support counting tokens."
        ),
        "legacy": ErrorReply("ResourceNotFoundException", 404, _LEGACY),
        "end_of_life": ErrorReply("ResourceNotFoundException", 404, _END_OF_LIFE),
        "use_case_missing": ErrorReply("ResourceNotFoundException", 404, _USE_CASE),
        "no_access": ErrorReply(
            "AccessDeniedException", 403, "You don't have access to the model with the specified model ID."
        ),
        "marketplace": ErrorReply("AccessDeniedException", 403, _MARKETPLACE),
        "denied_by_policy": ErrorReply(
            "AccessDeniedException",
            403,
            _CALLER + _RESOURCE + " because no identity-based policy allows the bedrock:InvokeModel action",
            message_key="Message",
        ),
        "denied_by_scp": ErrorReply(
            "AccessDeniedException",
            403,
            _CALLER + _RESOURCE + " with an explicit deny in a service control policy",
            message_key="Message",
        ),
        "no_prompt_caching": ErrorReply(
            "AccessDeniedException",
            403,
            "You invoked an unsupported model or your request did not allow prompt caching. See the documentation "
            "for more information.",
        ),
        "unknown_token": ErrorReply(
            "UnrecognizedClientException", 403, "The security token included in the request is invalid."
        ),
        "expired_token": ErrorReply(
            "ExpiredTokenException", 403, "The security token included in the request is expired"
        ),
        "bad_signature": ErrorReply(
            "InvalidSignatureException",
            403,
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details.",
        ),
        "missing_token": ErrorReply("MissingAuthenticationTokenException", 403, "Missing Authentication Token"),
        "bad_api_key": ErrorReply(
            "AccessDeniedException",
            403,
            "Authentication failed: Please make sure your API Key is valid.",
            message_key="Message",
        ),
        "unknown_operation": ErrorReply(
            "UnknownOperationException",
            404,
            "",
            raw_body=b"<UnknownOperationException/>\n",
            content_type="application/xml",
        ),
        "bare_429": ErrorReply("", 429, "", raw_body=b"", content_type="text/plain"),
        "bare_408": ErrorReply("", 408, "", raw_body=b"", content_type="text/plain"),
        "html_502": ErrorReply(
            "",
            502,
            "",
            raw_body=b"<html><body><h1>502 Bad Gateway</h1></body></html>",
            content_type="text/html",
        ),
        "html_503": ErrorReply(
            "",
            503,
            "",
            raw_body=b"<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>",
            content_type="text/html",
        ),
        "html_504": ErrorReply(
            "",
            504,
            "",
            raw_body=b"<html><body><h1>504 Gateway Time-out</h1></body></html>",
            content_type="text/html",
        ),
    }
)


def preset(name: str) -> ErrorReply:
    """The reply known by `name`; ValueError lists the names there are."""
    try:
        return PRESETS[name]
    except KeyError:
        known = ", ".join(sorted(PRESETS))
        raise ValueError(f"error={name!r} is not a known Bedrock reply. Use one of: {known}.") from None
