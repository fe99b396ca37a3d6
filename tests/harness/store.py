"""An S3 that runs here: moto's server, and what is put into it and taken out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from harness.endpoint import KEYS
from moto.server import ThreadedMotoServer

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET = "batch-place"
ROLE = "arn:aws:iam::111122223333:role/BedrockBatch"


class Store:
    """A moto server with one bucket."""

    def __init__(self) -> None:
        self._server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.url = f"http://{host}:{port}"
        self.s3 = boto3.Session().client("s3", endpoint_url=self.url, region_name="us-east-1", **KEYS)
        self.s3.create_bucket(Bucket=BUCKET)

    def put_lines(self, key: str, lines: list[dict[str, Any]]) -> str:
        body = "".join(json.dumps(line) + "\n" for line in lines).encode()
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        return f"s3://{BUCKET}/{key}"

    def keys(self, prefix: str = "") -> list[str]:
        return [one["Key"] for one in self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", ())]

    def lines(self, key: str) -> list[dict[str, Any]]:
        data = self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return [json.loads(line) for line in data.splitlines()]

    def empty(self) -> None:
        for key in self.keys():
            self.s3.delete_object(Bucket=BUCKET, Key=key)

    def close(self) -> None:
        self.s3.close()
        self._server.stop()


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    """One server for a module: import it there."""
    store = Store()
    yield store
    store.close()
