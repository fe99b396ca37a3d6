"""The S3-speaking store that batch jobs read from and write to: AWS's, moto's server, MinIO."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BatchStore", "StoreError", "StoredFile"]

_KEYS = ("local", "local")


class StoreError(Exception):
    """The store refuses; the text says why."""


class StoredFile(NamedTuple):
    """An object: `name` is the last part of its key."""

    uri: str
    name: str
    size_bytes: int


class BatchStore:
    """Reads and writes objects. Blocks, so it is used in threads.

    `endpoint_url` None means AWS. Credentials are those of this process; without any, a store that does not look at
    them is reached all the same.
    """

    def __init__(self, endpoint_url: str | None, region: str) -> None:
        self._endpoint_url = endpoint_url
        self._region = region
        self._client: Any = None
        self._lock = threading.Lock()

    def files(self, uri: str) -> list[StoredFile]:
        """The file of that name, or the files under that prefix, by name."""
        bucket, key = _parts(uri)
        if key.endswith(".jsonl"):
            head = self._call("head_object", Bucket=bucket, Key=key)
            return [StoredFile(uri, key.rpartition("/")[2], head["ContentLength"])]
        prefix = f"{key.rstrip('/')}/" if key else ""
        page = self._call("list_objects_v2", Bucket=bucket, Prefix=prefix)
        return [
            StoredFile(f"s3://{bucket}/{one['Key']}", one["Key"].rpartition("/")[2], one["Size"])
            for one in page.get("Contents", ())
            if one["Key"].endswith(".jsonl")
        ]

    def lines(self, uri: str) -> Iterator[bytes]:
        """The lines of a file, blank ones left out."""
        bucket, key = _parts(uri)
        for line in self._call("get_object", Bucket=bucket, Key=key)["Body"].iter_lines():
            if line.strip():
                yield line

    def write(self, uri: str, data: bytes) -> None:
        bucket, key = _parts(uri)
        self._call("put_object", Bucket=bucket, Key=key, Body=data)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _call(self, operation: str, **arguments: Any) -> Any:
        try:
            return getattr(self._open(), operation)(**arguments)
        except (ClientError, BotoCoreError) as error:
            raise StoreError(str(error)) from error

    def _open(self) -> Any:
        with self._lock:
            if self._client is None:
                session = boto3.Session()
                key, secret = (None, None) if session.get_credentials() else _KEYS
                self._client = session.client(
                    "s3",
                    endpoint_url=self._endpoint_url,
                    region_name=self._region,
                    aws_access_key_id=key,
                    aws_secret_access_key=secret,
                    config=Config(s3={"addressing_style": "path"}, retries={"mode": "standard", "max_attempts": 3}),
                )
            return self._client


def _parts(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
