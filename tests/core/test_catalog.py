"""Look up, resolve, filter, merge. The catalog of these tests is small and made up."""

from datetime import date

import pytest

from airflow_provider_bedrock_llm.core.catalog import Catalog
from airflow_provider_bedrock_llm.core.errors import CatalogError, UnknownModelError
from airflow_provider_bedrock_llm.core.merge_patch import make_patch
from airflow_provider_bedrock_llm.core.model_card import Lifecycle
from airflow_provider_bedrock_llm.core.model_id import ModelIdError

SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
NOVA = "amazon.nova-lite-v1:0"
ACCOUNT = "arn:aws:bedrock:eu-central-1:123456789012:"

MODELS = {
    SONNET: {
        "name": "Claude Sonnet 4.5",
        "aliases": ["Claude 4.5 Sonnet"],
        "provider": "Anthropic",
        "mode": "chat",
        "sources": ["snapshot"],
        "streaming": True,
        "converse": True,
        "capabilities": {"tool_use": True, "vision": True, "prompt_cache_ttls": ["5m", "1h"]},
        "context_window_tokens": 200_000,
        "lifecycle": {"status": "ACTIVE", "end_of_life": "2027-04-08"},
        "profiles": {
            f"eu.{SONNET}": {"source_regions": ["eu-central-1", "eu-west-1"]},
            f"global.{SONNET}": {"source_regions": ["eu-central-1", "us-east-1"]},
            ACCOUNT + "application-inference-profile/a1b2c3d4e5f6": {
                "name": "team-a",
                "source_regions": ["eu-central-1"],
                "copied_from": f"eu.{SONNET}",
            },
            ACCOUNT + "application-inference-profile/ffffffffffff": {"source_regions": ["eu-central-1"]},
        },
        "prices": {
            "default": {"input": 3.0, "output": 15.0},
            "by_profile": {f"eu.{SONNET}": {"input": 3.3, "output": 16.5}},
        },
        "disputed_prices": [SONNET],
    },
    HAIKU: {
        "name": "Claude 3 Haiku",
        "provider": "Anthropic",
        "mode": "chat",
        "sources": ["snapshot"],
        "direct_regions": {"us-east-1": "aws_api", "eu-central-1": "aws_api"},
        "profiles": {f"us.{HAIKU}": {"source_regions": ["us-east-1"], "assumed": True}},
        "prices": {
            "default": {"input": 0.25, "output": 1.25},
            "by_region": {"eu-central-1": {"input": 0.3, "output": 1.5}},
        },
    },
    NOVA: {
        "name": "Nova Lite",
        "provider": "Amazon",
        "mode": "chat",
        "sources": ["prices only"],
        "direct_regions": {"us-east-1": "litellm_price"},
        "capabilities": {"tool_use": False},
    },
    "cohere.embed-english-v3": {"name": "Embed English", "provider": "Cohere", "mode": "embedding", "sources": []},
}


@pytest.fixture
def catalog():
    return Catalog(MODELS, {"snapshot": frozenset({"us-east-1", "eu-central-1"})})


class TestResolve:
    @pytest.mark.parametrize(
        "name",
        ["Claude 3 Haiku", "claude 3 haiku", "claude-3-haiku", " Claude_3_Haiku ", HAIKU, HAIKU.upper()],
    )
    def test_a_friendly_name_resolves_whatever_its_case_and_separators(self, catalog, name):
        resolved = catalog.resolve(name)
        assert resolved.model_id.text == HAIKU
        assert resolved.card.name == "Claude 3 Haiku"
        assert not resolved.pinned

    def test_a_recorded_alias_resolves(self, catalog):
        assert catalog.resolve("Claude 4.5 Sonnet").model_id.text == SONNET

    def test_a_profile_id_resolves_to_itself_and_is_pinned(self, catalog):
        resolved = catalog.resolve(f"eu.{SONNET}")
        assert (resolved.model_id.text, resolved.pinned, resolved.card.model_id) == (f"eu.{SONNET}", True, SONNET)

    def test_a_profile_id_that_the_catalog_does_not_know_still_finds_its_model(self, catalog):
        assert catalog.resolve(f"jp.{SONNET}").card.model_id == SONNET

    def test_a_model_id_that_the_catalog_does_not_know_resolves_to_itself_without_a_card(self, catalog):
        resolved = catalog.resolve("acme.next-model-v1:0")
        assert (resolved.model_id.text, resolved.card, resolved.pinned) == ("acme.next-model-v1:0", None, False)

    @pytest.mark.parametrize(
        ("arn", "base"),
        [
            (f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}", HAIKU),
            (f"{ACCOUNT}inference-profile/eu.{SONNET}", SONNET),
            (f"{ACCOUNT}application-inference-profile/a1b2c3d4e5f6", SONNET),
            (f"{ACCOUNT}application-inference-profile/000000000000", None),
            (f"{ACCOUNT}provisioned-model/a1b2c3d4e5f6", None),
            (f"{ACCOUNT}prompt/ABCDE12345:1", None),
        ],
    )
    def test_an_arn_resolves_to_itself_in_its_own_region(self, catalog, arn, base):
        resolved = catalog.resolve(arn)
        assert resolved.model_id.text == arn
        assert resolved.pinned
        assert resolved.region == arn.split(":")[3]
        assert (resolved.card.model_id if resolved.card else None) == base

    def test_a_context_variant_finds_its_model(self, catalog):
        assert catalog.resolve(f"{HAIKU}:48k").card.model_id == HAIKU
        assert catalog.resolve("cohere.embed-english-v3:0:512").card.name == "Embed English"

    def test_a_malformed_arn_is_an_error_of_its_own(self, catalog):
        with pytest.raises(ModelIdError, match="not an ARN"):
            catalog.resolve("arn:aws:s3:::bucket")

    def test_an_unknown_name_is_an_error_with_the_three_nearest_names(self, catalog):
        with pytest.raises(UnknownModelError, match="Did you mean 'Claude 3 Haiku'") as raised:
            catalog.resolve("Claude 3 Haikuu")
        assert raised.value.name == "Claude 3 Haikuu"
        assert len(raised.value.suggestions) == 3

    @pytest.mark.parametrize("name", ["Claude Sonnet 4", "Claude Sonnet", "Claude Sonnet 4.5 v2", "Sonnet 4.5", "Nova"])
    def test_a_name_that_is_only_like_another_resolves_to_nothing(self, catalog, name):
        with pytest.raises(UnknownModelError):
            catalog.resolve(name)

    def test_an_alias_of_two_models_resolves_to_neither_and_names_both(self):
        catalog = Catalog({"a.one": {"aliases": ["same"]}, "a.two": {"aliases": ["same"]}})
        with pytest.raises(UnknownModelError) as raised:
            catalog.resolve("same")
        assert raised.value.suggestions == ("a.one", "a.two")

    def test_a_models_own_name_beats_the_alias_of_another(self):
        catalog = Catalog({"a.one": {"name": "Same"}, "a.two": {"name": "Other", "aliases": ["Same"]}})
        assert catalog.resolve("same").model_id.text == "a.one"

    def test_the_name_that_aws_gives_is_an_alias(self):
        assert Catalog({"a.one": {"aws_name": "Model One"}}).resolve("model one").card.name == "Model One"


class TestListModels:
    @pytest.mark.parametrize(
        ("filters", "found"),
        [
            ({"region": "eu-west-1"}, [SONNET]),
            ({"region": "eu-central-1"}, [HAIKU, SONNET]),
            ({"provider": "anthropic"}, [HAIKU, SONNET]),
            ({"streaming_only": True}, [SONNET]),
            ({"capability": "tool_use"}, [SONNET]),
            ({"capability": "converse"}, [SONNET]),
            ({"mode": "embedding"}, ["cohere.embed-english-v3"]),
            ({"region": "ap-east-2"}, []),
        ],
    )
    def test_a_filter_keeps_what_is_known_to_fit(self, catalog, filters, found):
        assert [card.model_id for card in catalog.list_models(**filters)] == found

    def test_without_a_filter_every_model_comes_by_id(self, catalog):
        assert [card.model_id for card in catalog.list_models()] == sorted(MODELS)
        assert len(catalog) == 4
        assert catalog.providers == ("Amazon", "Anthropic", "Cohere")
        assert catalog.regions == {"us-east-1", "eu-central-1", "eu-west-1"}


class TestCard:
    def test_what_is_not_known_stays_unknown(self, catalog):
        card = catalog.card(NOVA)
        assert card.streaming is None
        assert card.converse is None
        assert card.context_window_tokens is None
        assert card.supports("vision") is None
        assert card.supports("tool_use") is False
        assert card.lifecycle.end_of_life is None
        assert card.lifecycle.days_left(date(2026, 11, 21)) is None
        assert card.prices_for(NOVA, "us-east-1") is None

    def test_an_application_profile_is_not_counted_as_a_region_for_everybody(self):
        raw = {
            "profiles": {ACCOUNT + "application-inference-profile/a1b2c3d4e5f6": {"source_regions": ["eu-central-1"]}}
        }
        assert Catalog({"a.one": raw}).card("a.one").regions == frozenset()

    def test_where_aws_was_asked_follows_from_the_sources_of_the_card(self, catalog):
        assert catalog.card(HAIKU).asked_regions == {"us-east-1", "eu-central-1"}
        assert catalog.card(NOVA).asked_regions == frozenset()

    def test_a_card_is_made_once(self, catalog):
        assert catalog.card(HAIKU) is catalog.card(HAIKU)

    @pytest.mark.parametrize(
        ("lifecycle", "over", "left"),
        [
            ({"end_of_life": "2026-11-20"}, True, -1),
            ({"end_of_life": "2026-11-21"}, False, 0),
            ({"status": "END_OF_LIFE"}, True, None),
            ({"status": "DEPRECATED"}, False, None),
        ],
    )
    def test_the_end_of_life_is_counted_in_days(self, lifecycle, over, left):
        today = date(2026, 11, 21)
        read = Lifecycle.from_dict(lifecycle)
        assert (read.is_over(today), read.days_left(today)) == (over, left)


class TestPrices:
    @pytest.mark.parametrize(
        ("sent_id", "region", "price", "basis"),
        [
            (SONNET, "us-east-1", 3.0, "default"),
            (f"eu.{SONNET}", "eu-central-1", 3.3, "profile"),
            (f"{ACCOUNT}inference-profile/eu.{SONNET}", "eu-central-1", 3.3, "profile"),
            (f"{ACCOUNT}application-inference-profile/a1b2c3d4e5f6", "eu-central-1", 3.3, "profile"),
            (HAIKU, "us-east-1", 0.25, "default"),
            (HAIKU, "eu-central-1", 0.3, "region"),
            (f"arn:aws:bedrock:eu-central-1::foundation-model/{HAIKU}", "eu-central-1", 0.3, "region"),
            (f"us.{HAIKU}", "us-east-1", 0.25, "default"),
        ],
    )
    def test_the_price_is_that_of_the_id_that_is_sent(self, catalog, sent_id, region, price, basis):
        prices = catalog.prices_for(sent_id, region)
        assert (prices.on_demand.input, prices.basis) == (price, basis)

    @pytest.mark.parametrize(
        "sent_id",
        [
            f"global.{SONNET}",
            f"{ACCOUNT}application-inference-profile/ffffffffffff",
            f"{ACCOUNT}application-inference-profile/000000000000",
            f"{ACCOUNT}provisioned-model/a1b2c3d4e5f6",
            "acme.next-model-v1:0",
            "Claude Sonnet 4.5",
        ],
    )
    def test_a_price_that_is_not_known_is_none(self, catalog, sent_id):
        assert catalog.prices_for(sent_id, "eu-central-1") is None

    def test_a_price_that_two_sources_see_differently_is_marked(self, catalog):
        assert catalog.prices_for(SONNET, "us-east-1").disputed
        assert not catalog.prices_for(f"eu.{SONNET}", "eu-central-1").disputed


class TestDocument:
    def test_a_catalog_survives_writing_and_reading(self, catalog):
        again = Catalog.from_dict(catalog.to_dict())
        assert list(again) == list(catalog)
        assert again.to_dict() == catalog.to_dict()

    def test_another_schema_version_is_refused(self, catalog):
        with pytest.raises(CatalogError, match="schema_version=99"):
            Catalog.from_dict(catalog.to_dict() | {"schema_version": 99})

    def test_a_document_that_was_edited_is_refused(self, catalog):
        document = catalog.to_dict()
        document["models"] = document["models"] | {HAIKU: {"name": "planted"}}
        with pytest.raises(CatalogError, match="checksum"):
            Catalog.from_dict(document)

    def test_a_document_without_models_is_refused(self):
        with pytest.raises(CatalogError, match="no `models`"):
            Catalog.from_dict({"schema_version": 1})


class TestMerge:
    def test_what_was_learned_lies_over_the_snapshot_and_the_snapshot_stays(self, catalog):
        learned = {NOVA: {"direct_regions": {"us-east-1": None, "eu-west-1": "account"}}, HAIKU: None}
        merged = catalog.merge(learned, regions=frozenset({"us-east-1", "eu-west-1"}))
        assert dict(merged.card(NOVA).direct_regions) == {"eu-west-1": "account"}
        assert merged.card(NOVA).asked_regions == {"us-east-1", "eu-west-1"}
        assert merged.card(HAIKU) is None
        assert dict(catalog.card(NOVA).direct_regions) == {"us-east-1": "litellm_price"}
        assert catalog.card(HAIKU) is not None

    def test_a_patch_between_two_catalogs_leads_from_one_to_the_other(self, catalog):
        after = catalog.merge({NOVA: {"streaming": True}, "a.new": {"name": "New"}})
        assert catalog.merge(make_patch(catalog.models, after.models)).models == after.models
