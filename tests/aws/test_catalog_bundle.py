"""The snapshot in the wheel."""

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from airflow_provider_bedrock_llm.aws.catalog_bundle import bundled_checksum, load_bundled_catalog
from airflow_provider_bedrock_llm.core.catalog import SCHEMA_VERSION, checksum_of
from airflow_provider_bedrock_llm.core.errors import UnknownModelError
from airflow_provider_bedrock_llm.core.model_id import ModelIdKind, base_model_id, parse_model_id

REPOSITORY = Path(__file__).parents[2]
DOCUMENT = json.loads((files("airflow_provider_bedrock_llm.aws") / "catalog_bundled.json").read_text())
CATALOG = load_bundled_catalog()


def test_the_document_has_our_schema_and_its_checksum_fits():
    assert DOCUMENT["schema_version"] == SCHEMA_VERSION
    assert DOCUMENT["checksum"] == checksum_of(DOCUMENT["models"]) == bundled_checksum()
    assert len(CATALOG) == 183
    assert sum(len(card.profiles) for card in CATALOG) == 225


def test_every_entry_has_a_source_that_the_document_and_the_notice_name():
    named = {name: source["package"] for source in DOCUMENT["sources"] for name in source["names"]}
    notice = (files("airflow_provider_bedrock_llm") / "NOTICE").read_text()
    for card in CATALOG:
        assert card.sources
        assert card.confidence in {"aws_api", "multi", "single"}
        assert {named[source] for source in card.sources} <= set(notice.split())
    for raw in DOCUMENT["models"].values():
        for profile in raw.get("profiles", {}).values():
            assert set(profile["sources"]) <= named.keys()


def test_the_document_is_what_the_build_script_makes_of_the_facts():
    done = subprocess.run(
        [sys.executable, REPOSITORY / ".tools" / "build_catalog.py", "--check"], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


def test_every_id_is_well_formed_and_every_profile_belongs_to_its_model():
    for card in CATALOG:
        assert parse_model_id(card.model_id).kind is ModelIdKind.BASE_MODEL
        for profile in card.profiles:
            assert parse_model_id(profile.model_id).kind is ModelIdKind.PROFILE
            assert base_model_id(profile.model_id) == card.model_id
            assert profile.source_regions


def test_every_name_and_alias_resolves_to_its_own_model():
    for card in CATALOG:
        for name in (card.name, card.model_id, *card.aliases):
            assert CATALOG.resolve(name).card is card


def test_prices_are_read_for_every_id_that_has_one():
    for card in CATALOG:
        for sent_id in card.raw_prices.get("by_profile", {}):
            assert card.prices_for(sent_id, "us-east-1").basis == "profile"


def test_each_lifecycle_date_is_a_date():
    assert sum(card.lifecycle.end_of_life is not None for card in CATALOG) == 46


@pytest.mark.parametrize(
    ("name", "model_id"),
    [
        ("Claude 3 Haiku", "anthropic.claude-3-haiku-20240307-v1:0"),
        ("Claude Sonnet 4.5", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("Claude 4.5 Sonnet", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("Nova Lite", "amazon.nova-lite-v1:0"),
        ("gpt-oss-120b", "openai.gpt-oss-120b-1:0"),
    ],
)
def test_the_names_that_people_write_resolve(name, model_id):
    assert CATALOG.resolve(name).model_id.text == model_id


class TestCasesOfThePeer:
    """reference/llmmanager.md 2.1: what the peer's catalog gets wrong."""

    def test_case_1_raw_ids_profile_ids_and_arns_resolve(self):
        base = "anthropic.claude-3-haiku-20240307-v1:0"
        for name in (base, f"us.{base}", f"arn:aws:bedrock:us-east-1::foundation-model/{base}"):
            resolved = CATALOG.resolve(name)
            assert resolved.model_id.text == name
            assert resolved.card.model_id == base

    @pytest.mark.parametrize(
        ("name", "model_id"),
        [
            ("Claude 3 Opus", "anthropic.claude-3-opus-20240229-v1:0"),
            ("Claude Sonnet 4", "anthropic.claude-sonnet-4-20250514-v1:0"),
            ("Claude 5 Sonnet", "anthropic.claude-sonnet-5"),
        ],
    )
    def test_case_2_a_name_never_becomes_another_model(self, name, model_id):
        assert CATALOG.resolve(name).model_id.text == model_id

    def test_case_2_an_ambiguous_name_is_an_error_with_the_candidates(self):
        with pytest.raises(UnknownModelError) as raised:
            CATALOG.resolve("Mistral Large")
        assert set(raised.value.suggestions) == {"Mistral Large 3", "Mistral Large (24.02)", "Mistral Large (24.07)"}

    def test_case_3_a_legacy_name_leads_to_its_id(self):
        assert CATALOG.resolve("Titan Text G1 - Express").model_id.text == "amazon.titan-text-express-v1"

    def test_case_4_versions_of_a_model_are_models_of_their_own(self):
        for model_id in ("amazon.titan-embed-text-v1", "amazon.titan-embed-text-v2:0"):
            assert CATALOG.card(model_id).model_id == model_id
