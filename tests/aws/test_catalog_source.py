"""AWS's control plane is asked over many regions; each region answers or fails on its own."""

import importlib.util
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness.catalog_endpoint import HAIKU, MODELS, REGIONS, SONNET, clients_of

from airflow_provider_bedrock_llm.aws.catalog_bundle import load_bundled_catalog
from airflow_provider_bedrock_llm.aws.catalog_source import AwsCatalogSource
from airflow_provider_bedrock_llm.aws.region_discovery import bedrock_partitions, bedrock_regions, partition_of
from airflow_provider_bedrock_llm.core.catalog import Catalog
from airflow_provider_bedrock_llm.core.learned import RegionAnswer, RegionFailure
from airflow_provider_bedrock_llm.local import LocalEndpoint
from airflow_provider_bedrock_llm.local.models import LocalModel

REPOSITORY = Path(__file__).parents[2]
NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture(scope="module")
def shared():
    with LocalEndpoint(models=MODELS) as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(shared):
    shared.control.reset()
    return shared


@pytest.fixture
def source(endpoint):
    return AwsCatalogSource(clients_of(endpoint), sleep=lambda _: None, draw=lambda: 0.5, now=lambda: NOW)


def test_every_region_answers_with_its_models_and_profiles(source):
    survey = source.survey(REGIONS)
    assert not survey.failures
    listed = {region: {told["modelId"] for told in answer.models} for region, answer in survey.answers.items()}
    assert listed["us-east-1"] == {HAIKU, SONNET}
    assert listed["us-west-2"] == {SONNET, "acme.brand-new-v1:0"}
    profiles = {told["inferenceProfileId"] for told in survey.answers["eu-central-1"].profiles}
    assert profiles == {f"eu.{SONNET}", f"global.{SONNET}"}


def test_application_profiles_of_the_account_are_among_them(endpoint, source):
    client = clients_of(endpoint)("bedrock", "us-east-1")
    made = client.create_inference_profile(
        inferenceProfileName="team-a",
        modelSource={"copyFrom": f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}"},
    )
    try:
        listed = source.ask("us-east-1").profiles
    finally:
        client.delete_inference_profile(inferenceProfileIdentifier=made["inferenceProfileArn"])
    assert [told["inferenceProfileArn"] for told in listed if told["type"] == "APPLICATION"] == [
        made["inferenceProfileArn"]
    ]


def test_more_profiles_than_one_page_holds_are_all_read(endpoint, source):
    many = [
        LocalModel(f"acme.m{number}", profiles={f"us.acme.m{number}": ("us-east-1",)}, on_demand=False)
        for number in range(230)
    ]
    endpoint.control.models(many)
    assert len(source.ask("us-east-1").profiles) == 230 + 2
    pages = endpoint.control.stats().by_operation["ListInferenceProfiles"]
    assert pages == 3 + 1


def test_throttling_is_waited_out(endpoint):
    waits = []
    source = AwsCatalogSource(clients_of(endpoint), sleep=waits.append, draw=lambda: 0.5)
    endpoint.control.throttle(2, operation="ListFoundationModels")
    assert isinstance(source.ask("us-east-1"), RegionAnswer)
    assert waits == [0.25, 0.5]


def test_throttling_without_end_is_a_failure_that_is_no_denial(endpoint, source):
    endpoint.control.throttle(None, region="us-west-2")
    survey = source.survey(REGIONS)
    assert survey.answers.keys() == {"us-east-1", "eu-central-1"}
    failure = survey.failures["us-west-2"]
    assert (failure.code, failure.denied, failure.at) == ("ThrottlingException", False, NOW)


@pytest.mark.parametrize("error", ["denied_by_policy", "unknown_token"])
def test_a_denied_region_is_recorded_as_denied_and_not_asked_twice(endpoint, source, error):
    endpoint.control.fail(error, region="eu-central-1")
    survey = source.survey(REGIONS)
    assert survey.failures.keys() == {"eu-central-1"}
    assert survey.failures["eu-central-1"].denied
    assert endpoint.control.stats().by_region["eu-central-1"] == 1


def test_denied_profiles_make_the_region_a_failure_because_half_an_answer_would_hide_them(endpoint, source):
    endpoint.control.fail("denied_by_policy", operation="ListInferenceProfiles")
    assert isinstance(source.ask("us-east-1"), RegionFailure)


def test_a_region_that_hangs_costs_no_more_than_the_time_for_all(endpoint):
    source = AwsCatalogSource(clients_of(endpoint), timeout_seconds=2.0, max_workers=3)
    endpoint.control.fail(action="hang", region="us-west-2")
    survey = source.survey(REGIONS)
    assert survey.answers.keys() == {"us-east-1", "eu-central-1"}
    assert survey.failures["us-west-2"].code == "TimeoutError"
    endpoint.control.heal()


def test_no_more_regions_are_asked_at_a_time_than_allowed(endpoint):
    endpoint.control.latency(0.05)
    AwsCatalogSource(clients_of(endpoint), max_workers=2).survey([*REGIONS, "ap-south-1", "sa-east-1"])
    assert endpoint.control.stats().peak_in_flight <= 2


def test_a_fault_of_the_caller_is_raised_and_not_taken_for_a_region_without_models():
    def no_connection(service, region):
        raise LookupError("the connection does not exist")

    with pytest.raises(LookupError, match="connection does not exist"):
        AwsCatalogSource(no_connection).survey(REGIONS)


@pytest.mark.parametrize("settings", [{"max_workers": 0}, {"timeout_seconds": 0}])
def test_settings_that_would_ask_nobody_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        AwsCatalogSource(lambda _service, _region: None, **settings)


class TestRegionDiscovery:
    def test_the_regions_come_from_botocore(self):
        assert len(bedrock_regions()) >= 33
        assert bedrock_regions("aws-us-gov") == ("us-gov-east-1", "us-gov-west-1")
        assert {"aws", "aws-us-gov", "aws-eusc"} <= set(bedrock_partitions())

    def test_a_place_narrows_them(self):
        assert "eu-west-2" not in bedrock_regions(within="eu")
        assert set(bedrock_regions(within="ca")) == {"ca-central-1", "ca-west-1"}

    def test_each_region_knows_its_partition(self):
        assert partition_of("eu-central-1") == "aws"
        assert partition_of("us-gov-west-1") == "aws-us-gov"
        assert partition_of("mars-north-1") == "aws"


def test_the_build_script_lays_what_aws_says_over_the_facts(endpoint):
    """`.tools/build_catalog.py --ask-aws`: the snapshot of a release can come from AWS itself."""
    spec = importlib.util.spec_from_file_location("build_catalog", REPOSITORY / ".tools" / "build_catalog.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    endpoint.control.models([LocalModel("acme.other", profiles={"us.acme.other": ("us-east-1",)})])
    bundle = load_bundled_catalog()
    told = script.ask_aws(bundle, clients_of(endpoint))
    assert {"us-east-1", "ap-east-2"} <= set(told["regions"])
    built = Catalog.from_dict(script.with_aws(bundle.to_dict(), told))
    assert built.card("acme.brand-new-v1:0").sources == ("aws",)
    assert set(built.card(HAIKU).direct_regions) == {"us-east-1", "eu-central-1"}
    assert "ap-east-2" in built.card(HAIKU).asked_regions
    assert built.card(SONNET).profile(f"us.{SONNET}").destinations_from("us-east-1")
    assert "account" not in json.dumps(built.to_dict()["models"])
