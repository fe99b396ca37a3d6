"""The S3 place of batch jobs, with the connection's own credentials. Blocks: used in threads."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.aws.failures import EXPECTED, failure_from
from airflow_provider_bedrock_llm.core.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_bedrock_llm.aws.clients import Clients

__all__ = ["BatchStore"]


class BatchStore:
    """Reads and writes objects under s3:// URIs.

    Args:
        clients: with the connection's credentials, and its endpoint for S3.
        region: of the bucket.
    """

    def __init__(self, clients: Clients, region: str) -> None:
        self._client = clients.client("s3", region)

    def put(self, uri: str, stream: IO[bytes]) -> None:
        """Write an object from a stream, in parts where it is large.

        Raises:
            OutputError: S3 refuses.
        """
        bucket, key = _parts(uri)
        self._call(uri, "upload_fileobj", stream, bucket, key)

    def names(self, uri: str) -> list[str]:
        """The objects right under a folder, by name.

        Raises:
            OutputError: S3 refuses.
        """
        bucket, key = _parts(uri)
        prefix = f"{key.rstrip('/')}/"
        found: list[str] = []
        token: dict[str, str] = {}
        while True:
            page = self._call(uri, "list_objects_v2", Bucket=bucket, Prefix=prefix, Delimiter="/", **token)
            found += [one["Key"].removeprefix(prefix) for one in page.get("Contents", ())]
            if not page.get("IsTruncated"):
                return found
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def lines(self, uri: str) -> Iterator[bytes]:
        """The lines of an object, as they come in.

        Raises:
            OutputError: S3 refuses, or breaks off.
        """
        bucket, key = _parts(uri)
        body = self._call(uri, "get_object", Bucket=bucket, Key=key)["Body"]
        try:
            yield from body.iter_lines(chunk_size=256 * 1024)
        except EXPECTED as error:
            raise _refused(uri, error) from error
        finally:
            body.close()

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def _call(self, uri: str, operation: str, *values: Any, **arguments: Any) -> Any:
        try:
            return getattr(self._client, operation)(*values, **arguments)
        except EXPECTED as error:
            raise _refused(uri, error) from error
        except Exception as error:
            if type(error).__module__.partition(".")[0] != "boto3":  # S3UploadFailedError is no BotoCoreError
                raise
            raise _refused(uri, error) from error


def _refused(uri: str, error: BaseException) -> OutputError:
    said = failure_from(error, 0.0) if isinstance(error, EXPECTED) else error
    return OutputError(
        f"batch_s3_uri: {uri!r} cannot be used: {said}. Give a place in S3 that the connection's credentials may read "
        "and write, in the region of the job; batch jobs that were submitted go on and are found again."
    )


def _parts(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
