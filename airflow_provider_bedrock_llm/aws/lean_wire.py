"""One operation on the wire: parameters -> path, headers and bytes; bytes -> what botocore would have returned.

Both directions are botocore's own (`botocore.serialize`, `botocore.validate`, `botocore.parsers`,
`botocore.eventstream`), so members, blobs, unions and errors are those of boto3, field by field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import ClientError, EventStreamError
from botocore.parsers import EventStreamJSONParser, create_parser
from botocore.serialize import create_serializer
from botocore.utils import percent_encode_sequence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from botocore.model import OperationModel

__all__ = ["EventFolder", "OperationWire", "SerializedCall"]

_BLOB = "body"


class SerializedCall(NamedTuple):
    """A call before it is signed.

    Args:
        path: the path, percent-encoded as the service expects it, with its query.
        headers: those that belong to the operation.
        body: the bytes to send.
    """

    path: str
    headers: Mapping[str, str]
    body: bytes


class OperationWire:
    """How one operation is said and understood.

    Args:
        operation: botocore's model of it.
    """

    def __init__(self, operation: OperationModel) -> None:
        protocol = operation.service_model.resolved_protocol
        self._operation = operation
        self._serializer = create_serializer(protocol)  # it validates as well: see serialize
        self._parser = create_parser(protocol)
        self._context = {"operation_name": operation.name}

    def serialize(self, params: Mapping[str, Any]) -> SerializedCall:
        """Say it.

        Raises:
            botocore.exceptions.ParamValidationError: botocore refuses the parameters.
        """
        said = self._serializer.serialize_to_request(params, self._operation)
        path = said["url_path"]
        if said["query_string"]:
            path = f"{path}?{percent_encode_sequence(said['query_string'])}"
        body = said["body"]
        return SerializedCall(path, said["headers"], body.encode() if isinstance(body, str) else body)

    def parse(self, status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """Understand the answer.

        Raises:
            botocore.exceptions.ClientError: it is an error.
            botocore.parsers.ResponseParserError: it is nothing that the service would say.
        """
        is_blob = status < 300 and self._operation.has_streaming_output  # noqa: PLR2004 - as botocore has it
        said = {
            "status_code": status,
            "headers": headers,
            "body": b"" if is_blob else body,
            "context": self._context,
        }
        parsed: dict[str, Any] = self._parser.parse(said, self._operation.output_shape)
        if status >= 300:  # noqa: PLR2004
            raise ClientError(self._with_members(parsed, said), self._operation.name)
        if is_blob:
            parsed[_BLOB] = body
        return parsed

    def events(self) -> EventFolder:
        """What understands the answer of an operation that streams."""
        return EventFolder(self._operation)

    def _with_members(self, parsed: dict[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
        """With the members that an error has beside its message, such as `originalStatusCode`."""
        code = parsed.get("Error", {}).get("Code")
        shape = self._operation.service_model.shape_for_error_code(code)
        if shape is not None:
            parsed.update(self._parser.parse(said, shape))
        return parsed


class EventFolder:
    """Bytes of an event stream -> events, however the bytes are cut.

    Args:
        operation: botocore's model of the operation that streams.
    """

    def __init__(self, operation: OperationModel) -> None:
        output = operation.output_shape
        self._shape = output.members[output.event_stream_name]
        self._operation_name = operation.name
        self._parser = EventStreamJSONParser()
        self._buffer = EventStreamBuffer()

    def take(self, data: bytes) -> Iterator[Mapping[str, Any]]:
        """The events that are whole with these bytes.

        Raises:
            botocore.exceptions.EventStreamError: the service says that the stream has broken.
            botocore.eventstream.ParserError: the bytes are no event stream.
        """
        self._buffer.add_data(data)
        for frame in self._buffer:
            said = frame.to_response_dict()
            parsed = self._parser.parse(said, self._shape)
            if said["status_code"] != 200:  # noqa: PLR2004 - botocore's mark of an exception
                raise EventStreamError(parsed, self._operation_name)
            if parsed:
                yield parsed
