"""Every path of the waterfall, with AWS's control plane on loopback and a store in memory."""

import asyncio
import json
import logging
import threading
from datetime import UTC, datetime, timedelta

import pytest
from harness.catalog_endpoint import HAIKU, MODELS, REGIONS, SONNET, MemoryStore, clients_of

from airflow_provider_bedrock_llm.aws.catalog_bundle import load_bundled_catalog
from airflow_provider_bedrock_llm.aws.catalog_source import AwsCatalogSource, Survey
from airflow_provider_bedrock_llm.aws.model_catalog import BedrockModelCatalog
from airflow_provider_bedrock_llm.core.access import access_options
from airflow_provider_bedrock_llm.core.catalog import checksum_of
from airflow_provider_bedrock_llm.core.catalog_metadata import DEFAULT_VARIABLE_KEY, CacheMode, CatalogSource
from airflow_provider_bedrock_llm.core.errors import CatalogUnavailableError, UnknownModelError
from airflow_provider_bedrock_llm.local import LocalEndpoint

NEW = "acme.brand-new-v1:0"
START = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def shared():
    with LocalEndpoint(models=MODELS) as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(shared):
    shared.control.reset()
    return shared


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now

    def go(self, **time):
        self.now += timedelta(**time)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def make(endpoint, store, clock):
    """Makes catalogs as tasks do: one each, over the same store."""
    source = AwsCatalogSource(clients_of(endpoint), sleep=lambda _: None, now=clock, timeout_seconds=10)

    def make_catalog(**settings):
        return BedrockModelCatalog(**{"source": source, "store": store, "regions": REGIONS, "now": clock} | settings)

    return make_catalog


def calls(endpoint):
    return endpoint.control.stats().calls


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


class TestWaterfall:
    def test_without_a_variable_aws_is_asked_and_the_answer_kept(self, make, store, endpoint):
        catalog = make()
        assert not catalog.is_catalog_loaded
        assert catalog.get_model_info("Acme Brand New", "us-west-2").model_id == NEW
        metadata = catalog.get_catalog_metadata()
        assert metadata.source is CatalogSource.API
        assert metadata.retrieval_timestamp == START
        assert metadata.api_regions_queried == tuple(sorted(REGIONS))
        assert not metadata.regions_failed
        assert json.loads(store.texts[DEFAULT_VARIABLE_KEY])["regions"] == {START.isoformat(): sorted(REGIONS)}
        assert calls(endpoint) == 3 * len(REGIONS)

    def test_a_second_task_reads_the_variable_and_asks_nobody(self, make, endpoint, clock):
        first = make().ensure_catalog_available()
        asked = calls(endpoint)
        clock.go(hours=23)
        second = make()
        assert second.ensure_catalog_available().models == first.models
        assert second.get_catalog_metadata().source is CatalogSource.CACHE
        assert second.get_catalog_metadata().retrieval_timestamp == START
        assert calls(endpoint) == asked

    def test_a_variable_that_is_too_old_is_refreshed(self, make, endpoint, clock):
        make().ensure_catalog_available()
        clock.go(hours=24)
        assert make().get_catalog_metadata().source is CatalogSource.API
        assert make().get_catalog_metadata().retrieval_timestamp == START + timedelta(hours=24)
        assert calls(endpoint) == 2 * 3 * len(REGIONS)

    def test_force_refresh_asks_however_fresh_the_variable_is(self, make, endpoint):
        make().ensure_catalog_available()
        assert make(force_refresh=True).get_catalog_metadata().source is CatalogSource.API
        assert calls(endpoint) == 2 * 3 * len(REGIONS)

    def test_without_an_answer_the_snapshot_serves_with_one_warning(self, make, endpoint, caplog):
        endpoint.control.fail("denied_by_policy")
        catalog = make()
        catalog.ensure_catalog_available()
        catalog.ensure_catalog_available()
        assert catalog.get_catalog_metadata().source is CatalogSource.BUNDLED
        assert catalog.get_catalog_metadata().bundled_data_version == load_bundled_catalog().generated_at
        assert catalog.get_model_info("Claude 3 Haiku", "us-east-1").model_id == HAIKU
        (said,) = warnings(caplog)
        assert "AccessDeniedException in eu-central-1, us-east-1, us-west-2" in said

    def test_a_denial_is_remembered_so_that_not_each_task_pays_for_it(self, make, endpoint, clock):
        endpoint.control.fail("denied_by_policy")
        make().ensure_catalog_available()
        asked = calls(endpoint)
        assert make().get_catalog_metadata().source is CatalogSource.BUNDLED
        assert calls(endpoint) == asked
        endpoint.control.heal()
        clock.go(minutes=15)
        assert make().get_catalog_metadata().source is CatalogSource.API

    def test_without_a_snapshot_the_error_says_what_each_step_answered(self, make, endpoint):
        endpoint.control.fail("denied_by_policy")
        with pytest.raises(CatalogUnavailableError) as raised:
            make(fallback_to_bundled=False).ensure_catalog_available()
        said = str(raised.value)
        assert "there is no Variable bedrock_llm_model_catalog" in said
        assert "AccessDeniedException" in said
        assert "the bundled one is switched off" in said
        assert raised.value.retry_helps

    def test_without_a_client_and_a_store_the_snapshot_serves(self, caplog):
        catalog = BedrockModelCatalog(regions=REGIONS)
        assert catalog.get_catalog_metadata().source is CatalogSource.BUNDLED
        assert "there is no client" in warnings(caplog)[0]

    def test_all_regions_of_the_partition_are_wanted_by_default(self, clock):
        asked = []

        class Source:
            def survey(self, regions):
                asked.extend(regions)
                raise RuntimeError("seen")

        with pytest.raises(RuntimeError, match="seen"):
            BedrockModelCatalog(source=Source(), partition="aws-us-gov", now=clock).ensure_catalog_available()
        assert asked == ["us-gov-east-1", "us-gov-west-1"]

    async def test_an_event_loop_goes_on_while_aws_is_asked(self, make):
        loop_went_on = threading.Event()

        class Waiting:
            def survey(self, regions):
                assert loop_went_on.wait(10), "the event loop stood still"
                return Survey({}, {})

        loading = asyncio.create_task(make(source=Waiting()).aensure_catalog_available())
        await asyncio.sleep(0)
        loop_went_on.set()
        assert (await loading).card(HAIKU) is not None


class TestPartialAnswers:
    def test_case_34_a_partial_answer_is_not_cached_as_the_whole_and_what_failed_is_asked_again_alone(
        self, make, endpoint, clock
    ):
        """reference/llmmanager.md 2.7, case 34."""
        endpoint.control.throttle(None, region="us-west-2")
        first = make()
        assert first.get_catalog_metadata().api_regions_queried == ("eu-central-1", "us-east-1")
        assert "ThrottlingException" in first.get_catalog_metadata().regions_failed["us-west-2"]
        endpoint.control.reset()
        clock.go(minutes=14)
        assert make().get_catalog_metadata().source is CatalogSource.CACHE
        clock.go(minutes=1)
        second = make()
        assert second.get_model_info("Acme Brand New", "us-west-2") is not None
        assert not second.get_catalog_metadata().regions_failed
        assert endpoint.control.stats().by_region == {"us-west-2": 3}

    def test_case_34_a_failed_refresh_leaves_the_better_catalog_in_place(self, make, endpoint, caplog):
        """reference/llmmanager.md 2.7, case 34: not dropped, and not replaced by the snapshot."""
        catalog = make()
        good = catalog.ensure_catalog_available().models
        endpoint.control.throttle(None)
        with pytest.raises(CatalogUnavailableError, match="still in use"):
            catalog.refresh_catalog()
        assert catalog.ensure_catalog_available().models == good
        assert make().ensure_catalog_available().models == good
        assert not warnings(caplog)

    def test_an_old_variable_is_better_than_the_snapshot_when_aws_does_not_answer(self, make, endpoint, clock, caplog):
        make().ensure_catalog_available()
        clock.go(days=30)
        endpoint.control.throttle(None)
        catalog = make()
        assert catalog.get_model_info("Acme Brand New", "us-west-2") is not None
        assert catalog.get_catalog_metadata().source is CatalogSource.CACHE
        assert "2026-11-21" in warnings(caplog)[0]

    def test_another_region_that_is_wanted_is_asked_alone(self, make, endpoint):
        make(regions=["us-east-1"]).ensure_catalog_available()
        make(regions=["us-east-1", "us-west-2"]).ensure_catalog_available()
        assert endpoint.control.stats().by_region == {"us-east-1": 3, "us-west-2": 3}


class TestDamagedVariable:
    @pytest.mark.parametrize("text", ["", "hello", "[]", '{"schema_version": 1}', "{" * 100_000])
    def test_it_is_said_and_the_next_step_is_taken_and_the_variable_mended(self, make, store, caplog, text):
        store.texts[DEFAULT_VARIABLE_KEY] = text
        assert make().get_catalog_metadata().source is CatalogSource.API
        assert "The Variable bedrock_llm_model_catalog is not used" in warnings(caplog)[0]
        assert len(warnings(caplog)) == 1
        assert make().get_catalog_metadata().source is CatalogSource.CACHE

    def test_case_35_what_somebody_planted_by_hand_is_not_taken(self, make, store, caplog):
        """reference/llmmanager.md 2.7, case 35."""
        make().ensure_catalog_available()
        text = store.texts[DEFAULT_VARIABLE_KEY]
        store.texts[DEFAULT_VARIABLE_KEY] = text.replace("Acme Brand New", "Claude 3 Haiku")
        assert make().get_model_info("Claude 3 Haiku").model_id == HAIKU
        assert "edited or cut off" in warnings(caplog)[0]

    def test_a_variable_over_another_snapshot_is_made_anew_without_a_word(self, make, store, caplog):
        make().ensure_catalog_available()
        document = json.loads(store.texts[DEFAULT_VARIABLE_KEY]) | {"bundled_checksum": "sha256:of-another-release"}
        document["checksum"] = checksum_of({key: value for key, value in document.items() if key != "checksum"})
        store.texts[DEFAULT_VARIABLE_KEY] = json.dumps(document)
        assert make().get_catalog_metadata().source is CatalogSource.API
        assert not warnings(caplog)

    def test_a_store_that_is_broken_is_said_and_does_not_stop_the_task(self, make, store, caplog):
        store.broken = True
        assert make().get_catalog_metadata().source is CatalogSource.API
        assert [said.split(",")[0] for said in warnings(caplog)] == [
            "The Variable bedrock_llm_model_catalog cannot be read",
            "The Variable bedrock_llm_model_catalog cannot be written",
        ]

    def test_what_does_not_fit_into_the_store_is_said_and_used_all_the_same(self, make, store, caplog):
        assert make(max_variable_bytes=100).get_model_info("Acme Brand New") is not None
        assert DEFAULT_VARIABLE_KEY not in store.texts
        assert "max_variable_bytes=100" in warnings(caplog)[0]


class TestModes:
    def test_memory_is_shared_by_the_catalogs_of_a_key_in_this_process(self, make, store, endpoint):
        settings = {"cache_mode": CacheMode.MEMORY, "variable_key": "account-a"}
        make(**settings).ensure_catalog_available()
        asked = calls(endpoint)
        assert make(**settings).get_catalog_metadata().source is CatalogSource.CACHE
        assert calls(endpoint) == asked
        assert (
            make(cache_mode=CacheMode.MEMORY, variable_key="account-b").get_catalog_metadata().source
            is CatalogSource.API
        )
        assert store.gets == store.sets == 0
        make(**settings).clear_cache()
        assert make(**settings).get_catalog_metadata().source is CatalogSource.API

    def test_threads_that_start_together_ask_once_in_memory_mode(self, make, endpoint):
        settings = {"cache_mode": CacheMode.MEMORY, "variable_key": "threads"}
        threads = [threading.Thread(target=make(**settings).ensure_catalog_available) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert calls(endpoint) == 3 * len(REGIONS)

    def test_none_asks_each_time_and_keeps_nothing(self, make, store, endpoint):
        for _ in range(2):
            assert make(cache_mode=CacheMode.NONE).get_catalog_metadata().source is CatalogSource.API
        assert calls(endpoint) == 2 * 3 * len(REGIONS)
        assert store.gets == store.sets == 0

    def test_clear_cache_forgets_the_variable(self, make, store):
        catalog = make()
        catalog.ensure_catalog_available()
        catalog.clear_cache()
        assert not store.texts
        assert not catalog.is_catalog_loaded
        assert catalog.get_catalog_metadata().source is CatalogSource.API


class TestTwoTasksAtOnce:
    def test_what_the_other_learned_meanwhile_is_not_lost(self, make, store):
        mine, other = make(regions=["us-east-1"]), make(regions=["us-west-2"])

        class Interrupted(AwsCatalogSource):
            def survey(self, regions):
                found = super().survey(regions)
                other.ensure_catalog_available()
                return found

        source = mine._source
        mine._source = Interrupted(source.client_for, sleep=source.sleep, now=source.now)
        mine.ensure_catalog_available()
        again = make(regions=["us-east-1", "us-west-2"]).get_catalog_metadata()
        assert again.source is CatalogSource.CACHE
        assert again.api_regions_queried == ("us-east-1", "us-west-2")

    def test_case_40_one_catalog_answers_many_threads_from_its_first_question_on(self, make):
        """reference/llmmanager.md 2.7, case 40: an index that is half built is never seen."""
        catalog = make().ensure_catalog_available().merge({})
        barrier, found = threading.Barrier(16), []

        def ask():
            barrier.wait()
            found.append(catalog.resolve("Claude 3 Haiku").model_id.text)

        threads = [threading.Thread(target=ask) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [HAIKU] * 16

    def test_many_at_once_leave_a_whole_variable(self, make, store):
        threads = [threading.Thread(target=make(force_refresh=True).ensure_catalog_available) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert make().get_catalog_metadata().source is CatalogSource.CACHE


class TestQuestions:
    def test_a_model_in_a_region_says_how_it_is_called_there(self, make):
        info = make().get_model_info("Claude Sonnet 4.5", "us-east-1")
        assert info.model_id == SONNET
        assert info.inference_profile_id == f"us.{SONNET}"
        assert info.supports_streaming is True
        assert info.region == "us-east-1"

    def test_a_model_that_a_region_does_not_have_is_none(self, make):
        assert make().get_model_info("Claude 3 Haiku", "us-west-2") is None
        assert make().get_model_info("unheard.of-v1:0") is None
        assert make().get_model_info("Claude 3 Haiku").region is None

    def test_a_name_that_is_not_known_is_an_error_with_suggestions(self, make):
        with pytest.raises(UnknownModelError, match="Claude 3 Haiku"):
            make().get_model_info("Claude 3 Haikuu")

    def test_available_is_what_is_known_to_be_callable(self, make, caplog):
        catalog = make()
        assert catalog.is_model_available("Claude 3 Haiku", "us-east-1")
        assert catalog.is_model_available(f"eu.{SONNET}", "eu-central-1")
        assert not catalog.is_model_available("Claude 3 Haiku", "us-west-2")
        assert not catalog.is_model_available(f"eu.{SONNET}", "us-east-1")
        assert not catalog.is_model_available("Claude 3 Haikuu", "us-east-1")
        assert "Did you mean" in warnings(caplog)[-1]

    def test_models_are_listed_by_region_provider_streaming_and_capability(self, make):
        catalog = make()
        assert [card.model_id for card in catalog.list_models("us-west-2")] == [NEW, SONNET]
        anthropic = catalog.list_models(region="us-east-1", provider="Anthropic", streaming_only=True)
        assert [card.model_id for card in anthropic] == [HAIKU, SONNET]
        assert SONNET in [card.model_id for card in catalog.list_models(capability="tool_use")]

    def test_a_model_that_asked_for_a_profile_is_remembered_for_every_task(self, make):
        make().remember_profile_required(HAIKU, "us-east-1")
        card = make().get_model_info(HAIKU).card
        assert access_options(card, "us-east-1") == ()
        assert access_options(card, "eu-central-1")[0].model_id == HAIKU

    def test_an_age_in_the_future_is_refused(self):
        with pytest.raises(ValueError, match="max_age_hours=-1"):
            BedrockModelCatalog(max_age_hours=-1)
