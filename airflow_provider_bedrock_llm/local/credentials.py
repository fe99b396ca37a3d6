"""Who calls, and from which region: what the Authorization header says.

Signatures are checked for their form and scope, not for their value: the endpoint keeps no secret keys.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from .wire_errors import ErrorReply, Refused, preset

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Caller", "CredentialBook"]

_SIGNATURE = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<key>[^/,\s]+)/(?P<date>\d{8})/(?P<region>[a-z0-9-]+)/(?P<service>[a-z0-9-]+)"
    r"/aws4_request,\s*SignedHeaders=(?P<headers>[a-z0-9;-]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)
_HOST = re.compile(r"(?:bedrock(?:-runtime)?(?:-fips)?)\.([a-z0-9-]+)\.")
_DEFAULT_ACCOUNT = "111122223333"


class Caller(NamedTuple):
    """An access key (or "bearer"), the account behind it, and the region of the call."""

    access_key: str
    account: str
    region: str
    service: str


class CredentialBook:
    """Which credentials are known to be bad, and which account others belong to. Unlisted ones are welcome."""

    def __init__(self, default_region: str) -> None:
        self._default_region = default_region
        self._refusals: dict[str, ErrorReply] = {}
        self._accounts: dict[str, str] = {}

    def reset(self) -> None:
        self._refusals.clear()
        self._accounts.clear()

    def register(self, credential: str, *, error: str | None = None, account: str | None = None) -> None:
        """Answer calls with this access key (or bearer token) by an error of `PRESETS`, or give it an account."""
        if error:
            self._refusals[credential] = preset(error)
        else:
            self._refusals.pop(credential, None)
        if account:
            self._accounts[credential] = account

    def identify(self, headers: Mapping[str, str]) -> Caller:
        """The caller behind a request's headers; Refused, with a 403, where AWS would not know one."""
        authorization = headers.get("Authorization")
        if not authorization:
            raise Refused(preset("missing_token"))
        if authorization.startswith("Bearer"):
            return self._bearer(authorization[6:].strip(), headers.get("Host", ""))
        parts = _SIGNATURE.fullmatch(authorization)
        if parts is None:
            text = f"Authorization header is not a complete AWS Signature Version 4: {authorization[:32]!r}"
            raise Refused(ErrorReply("IncompleteSignatureException", 403, text))
        key, _, region, service, signed, _ = parts.groups()
        if "host" not in signed.split(";"):
            text = "'Host' must be a 'SignedHeader' in the AWS Authorization."
            raise Refused(ErrorReply("InvalidSignatureException", 403, text))
        if service not in {"bedrock", "sts"}:
            text = "Credential should be scoped to correct service: 'bedrock'. "
            raise Refused(ErrorReply("InvalidSignatureException", 403, text))
        return self._known(key, region, service)

    def _bearer(self, token: str, host: str) -> Caller:
        if not token:
            raise Refused(preset("bad_api_key"))
        named = _HOST.match(host)
        caller = self._known(token, named[1] if named else self._default_region, "bedrock")
        return caller._replace(access_key="bearer")

    def _known(self, credential: str, region: str, service: str) -> Caller:
        account = self._accounts.get(credential, _DEFAULT_ACCOUNT)
        refusal = self._refusals.get(credential)
        if refusal is not None:
            raise Refused(refusal.filled(account=account, region=region))
        return Caller(credential, account, region, service)
