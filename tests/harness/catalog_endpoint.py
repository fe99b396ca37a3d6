"""A control plane on loopback for catalog tests, and a store that stands in for the Airflow Variable."""

from harness.endpoint import make_client

from airflow_provider_bedrock_llm.core.errors import CatalogError
from airflow_provider_bedrock_llm.local.models import LocalModel

__all__ = ["MODELS", "REGIONS", "MemoryStore", "clients_of"]

REGIONS = ("us-east-1", "us-west-2", "eu-central-1")
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"

MODELS = (
    LocalModel(HAIKU, "Claude 3 Haiku", regions=("us-east-1", "eu-central-1")),
    LocalModel(
        SONNET,
        "Claude Sonnet 4.5",
        regions=REGIONS,
        on_demand=False,
        profiles={
            f"us.{SONNET}": ("us-east-1", "us-west-2"),
            f"eu.{SONNET}": ("eu-central-1",),
            f"global.{SONNET}": REGIONS,
        },
    ),
    LocalModel("acme.brand-new-v1:0", "Acme Brand New", regions=("us-west-2",)),
)


_clients = {}


class MemoryStore:
    """Keeps texts, counts what it is asked, and breaks on request."""

    def __init__(self, texts=None):
        self.texts = dict(texts or {})
        self.gets = 0
        self.sets = 0
        self.broken = False

    def get(self, key):
        self.gets += 1
        self._check()
        return self.texts.get(key)

    def set(self, key, text, description):
        self.sets += 1
        self._check()
        assert description
        self.texts[key] = text

    def delete(self, key):
        self._check()
        self.texts.pop(key, None)

    def _check(self):
        if self.broken:
            raise CatalogError("The store is broken. Mend it.")


def clients_of(endpoint):
    """What `client_for` is: clients of the endpoint, one per region, kept because making one takes long."""

    def client_for(service, region):
        key = (endpoint.url, service, region)
        if key not in _clients:
            _clients[key] = make_client(endpoint, service, region=region)
        return _clients[key]

    return client_for
