"""A service in one region as botocore would call it: its address, who signs, and how each operation is said.

Endpoint rules (regional, FIPS, dual stack, an endpoint of one's own), the choice between keys and a bearer token, and
the settings of files and environment are botocore's, and too many to be made again: an ordinary boto3 client is asked
once for each operation. It does everything short of sending, and its public events (`before-sign`, `before-send`) show
what it decided.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import botocore
from botocore.awsrequest import AWSResponse
from botocore.exceptions import UnknownSignatureVersionError

from airflow_provider_bedrock_llm.aws.lean_signing import BearerSigner, KeySigner, NoSigner
from airflow_provider_bedrock_llm.aws.lean_wire import OperationWire

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import boto3.session

    from airflow_provider_bedrock_llm.aws.clients import ClientSettings
    from airflow_provider_bedrock_llm.aws.lean_signing import Signer

__all__ = ["LeanOperation", "LeanService"]


class LeanOperation(NamedTuple):
    """One operation, ready to be called.

    Args:
        wire: how it is said and understood.
        signer: says who calls.
        base_url: what comes before the path.
        user_agent: as botocore has it.
    """

    wire: OperationWire
    signer: Signer
    base_url: str
    user_agent: str


class LeanService:
    """What is known of a service in a region. Made and asked in threads: it reads files and may fetch credentials.

    Args:
        session: gives credentials and clients.
        settings: what every client shares.
        service: such as `bedrock-runtime`.
        region: where calls go.
    """

    def __init__(self, session: boto3.session.Session, settings: ClientSettings, service: str, region: str) -> None:
        self._credentials = session.get_credentials()
        self._client = session.client(
            service,
            region_name=region,
            endpoint_url=settings.endpoint_for(service, region),
            verify=settings.verify,
            config=settings.botocore_config(engine=True),
        )
        self._signers: dict[tuple[Any, ...], Signer] = {}
        self._asking = threading.Lock()
        self._signed: Mapping[str, Any] = {}
        self._prepared: Any = None
        events = self._client.meta.events
        events.register_last(f"before-sign.{service}", self._see_signing)
        events.register_last(f"before-send.{service}", self._see_sending)

    def prepare(self, operation: str, params: Mapping[str, Any]) -> LeanOperation:
        """Ask botocore how it would make this call.

        Args:
            operation: as botocore spells its methods, such as `converse`.
            params: of the first call.

        Raises:
            botocore.exceptions.BotoCoreError: botocore would not make it: parameters, endpoint, credentials.
        """
        meta = self._client.meta
        wire = OperationWire(meta.service_model.operation_model(meta.method_to_api_mapping[operation]))
        with self._asking:
            getattr(self._client, operation)(**params)
            signed, prepared = self._signed, self._prepared
            signer = self._signer(signed)
        user_agent = prepared.headers["User-Agent"]
        return LeanOperation(
            wire,
            signer,
            prepared.url.removesuffix(wire.serialize(params).path),
            user_agent.decode() if isinstance(user_agent, bytes) else user_agent,
        )

    def _signer(self, signed: Mapping[str, Any]) -> Signer:
        """Who signs; operations that are signed alike share one, and with it its refreshed credentials."""
        version = signed["signature_version"]
        context = signed["request"].context.get("signing", {})
        name = context.get("signing_name") or signed["signing_name"]
        region = context.get("region") or signed["region_name"]
        key = (version, name, region)
        if key not in self._signers:
            self._signers[key] = self._new_signer(version, name, region, signed["request_signer"])
        return self._signers[key]

    def _new_signer(self, version: Any, name: str, region: str, request_signer: Any) -> Signer:
        if version is botocore.UNSIGNED:
            return NoSigner()
        if version == "v4":
            return KeySigner(self._credentials, name, region)
        if version == "bearer":
            ask = partial(request_signer.get_auth_instance, name, region, version)
            return BearerSigner(lambda: ask().auth_token)
        raise UnknownSignatureVersionError(signature_version=version)

    def _see_signing(self, **given: Any) -> None:
        self._signed = given

    def _see_sending(self, request: Any, **_: Any) -> AWSResponse:
        """A response of ours: whatever a handler of `before-send` returns is taken for the service's, unsent."""
        self._prepared = request
        return AWSResponse(request.url, 200, {}, _Nothing())


class _Nothing:
    """The body of a response that nobody sent."""

    def stream(self) -> Iterator[bytes]:
        yield b"{}"
