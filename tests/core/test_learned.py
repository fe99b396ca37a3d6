"""What regions answered, laid over a snapshot; and its way into a text and back."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from harness.region_answers import answer, application_profile, model, profile

from airflow_provider_bedrock_llm.core.access import DEFAULT_PREFERENCE, access_options, options_for
from airflow_provider_bedrock_llm.core.catalog import Catalog, checksum_of
from airflow_provider_bedrock_llm.core.errors import CatalogError
from airflow_provider_bedrock_llm.core.learned import (
    NOTHING_LEARNED,
    Learned,
    RegionFailure,
    learn,
    regions_due,
    require_profile,
)
from airflow_provider_bedrock_llm.core.learned_document import learned_from_text, learned_to_text

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = 24 * HOUR
A, B = "anthropic.claude-a-v1:0", "amazon.nova-b-v1:0"

BUNDLE = Catalog(
    {
        A: {
            "name": "Claude A",
            "provider": "Anthropic",
            "sources": ["snapshot"],
            "direct_regions": {"us-east-1": "aws_api", "eu-west-1": "litellm_price"},
            "profiles": {
                f"us.{A}": {"source_regions": ["us-east-1", "us-west-2"], "assumed": True},
                f"eu.{A}": {"source_regions": ["eu-west-1"]},
            },
            "lifecycle": {"status": "DEPRECATED", "end_of_life": "2027-01-01"},
            "prices": {"default": {"input": 1.0, "output": 2.0}},
        },
        B: {"name": "Nova B", "provider": "Amazon", "sources": ["snapshot"], "streaming": True},
    },
    {"snapshot": frozenset({"us-east-1", "eu-west-1"})},
)


def learned_from(answers, before=NOTHING_LEARNED, failures=(), now=NOW):
    return learn(BUNDLE, before, answers, dict(failures), now)


def failed(code="ThrottlingException", *, at=NOW, denied=False):
    return RegionFailure(at, code, "no", denied=denied)


class TestLearn:
    def test_a_region_that_answers_as_the_snapshot_says_teaches_nothing_but_the_time(self):
        bundle = Catalog(
            {A: {"name": "A", "provider": "X", "direct_regions": {"us-east-1": "aws_api"}, "streaming": True}}
        )
        learned = learn(bundle, NOTHING_LEARNED, {"us-east-1": answer([model(A)])}, {}, NOW)
        assert learned.patch == {}
        assert learned.regions == {"us-east-1": NOW}
        assert learned.over(bundle).card(A).account_regions == {"us-east-1"}

    def test_what_a_region_does_not_list_is_not_there_any_more(self):
        card = learned_from({"us-east-1": answer([])}).over(BUNDLE).card(A)
        assert "us-east-1" not in card.direct_regions
        assert card.profile(f"us.{A}").source_regions == {"us-west-2"}
        assert dict(card.direct_regions) == {"eu-west-1": "litellm_price"}

    def test_a_profile_that_can_be_called_from_nowhere_is_gone(self):
        assert learned_from({"eu-west-1": answer([])}).over(BUNDLE).card(A).profile(f"eu.{A}") is None

    def test_case_5_on_demand_in_one_region_is_not_on_demand_in_all(self):
        """reference/llmmanager.md 2.1, case 5."""
        learned = learned_from(
            {
                "us-east-1": answer([model(B)]),
                "us-west-2": answer([model(B, on_demand=False)]),
            }
        )
        assert dict(learned.over(BUNDLE).card(B).direct_regions) == {"us-east-1": "account"}

    def test_case_6_names_lifecycle_and_where_data_goes_are_kept(self):
        """reference/llmmanager.md 2.1, case 6."""
        ends = datetime(2026, 12, 24, tzinfo=UTC)
        learned = learned_from(
            {
                "eu-west-1": answer(
                    [model(A, modelName="Claude A (new)", modelLifecycle={"status": "LEGACY", "endOfLifeTime": ends})],
                    [profile(f"eu.{A}", "eu-west-1", "eu-central-1")],
                )
            }
        )
        card = learned.over(BUNDLE).card(A)
        assert card.aws_name == "Claude A (new)"
        assert learned.over(BUNDLE).resolve("claude a (new)").card == card
        assert (card.lifecycle.status, str(card.lifecycle.end_of_life)) == ("LEGACY", "2026-12-24")
        assert card.profile(f"eu.{A}").destinations_from("eu-west-1") == {"eu-west-1", "eu-central-1"}

    def test_destinations_are_kept_per_source_region(self):
        first = learned_from({"us-east-1": answer([], [profile(f"us.{A}", "us-east-1", "us-west-2")])})
        second = learned_from(
            {"ca-central-1": answer([], [profile(f"us.{A}", "ca-central-1", "us-east-1")])}, first, now=NOW + HOUR
        )
        known = second.over(BUNDLE).card(A).profile(f"us.{A}")
        assert known.destinations_from("us-east-1") == {"us-east-1", "us-west-2"}
        assert known.destinations_from("ca-central-1") == {"ca-central-1", "us-east-1"}
        catalog = second.over(BUNDLE)
        assert options_for(catalog.resolve(f"us.{A}"), "us-east-1", data_residency="us")
        assert not options_for(catalog.resolve(f"us.{A}"), "ca-central-1", data_residency="ca")

    def test_a_model_that_the_snapshot_does_not_have_is_added(self):
        told = model("acme.new-v1:0", modelName="Acme New", providerName="Acme")
        card = learned_from({"us-east-1": answer([told])}).over(BUNDLE).resolve("Acme New").card
        assert (card.model_id, card.provider, card.sources) == ("acme.new-v1:0", "Acme", ("account",))
        assert card.context_window_tokens is None

    def test_a_context_variant_is_no_model_of_its_own(self):
        variant = model(f"{B}:24k", on_demand=False, inferenceTypesSupported=["PROVISIONED"])
        learned = learned_from({"us-east-1": answer([model(B), variant])})
        assert len(learned.over(BUNDLE)) == 2
        assert "us-east-1" in learned.over(BUNDLE).card(B).direct_regions

    def test_an_application_profile_belongs_to_its_model_and_costs_what_it_was_copied_from(self):
        system = profile(f"us.{A}", "us-east-1", "us-west-2")
        own = application_profile("us-east-1", "a1b2c3d4e5f6", A, "us-east-1", "us-west-2")
        single = application_profile("us-east-1", "ffffffffffff", A, "us-east-1")
        catalog = learned_from({"us-east-1": answer([], [system, own, single])}).over(BUNDLE)
        arn = own["inferenceProfileArn"]
        assert catalog.resolve(arn).card.model_id == A
        assert catalog.card(A).profile(arn).copied_from == f"us.{A}"
        assert catalog.card(A).profile(single["inferenceProfileArn"]).copied_from == A
        assert arn not in [option.model_id for option in access_options(catalog.card(A), "us-east-1")]

    def test_an_assumed_profile_is_sure_where_the_account_lists_it(self):
        catalog = learned_from({"us-east-1": answer([], [profile(f"us.{A}", "us-east-1")])}).over(BUNDLE)
        assert [option.assumed for option in access_options(catalog.card(A), "us-east-1")] == [False]
        assert [option.assumed for option in access_options(catalog.card(A), "us-west-2")] == [True]

    def test_case_34_a_region_that_failed_keeps_what_was_known_and_is_not_empty(self):
        """reference/llmmanager.md 2.7, case 34."""
        first = learned_from({"us-east-1": answer([model(B)]), "eu-west-1": answer([model(B)])})
        second = learned_from({"us-east-1": answer([])}, first, {"eu-west-1": failed()}, NOW + DAY)
        assert dict(second.over(BUNDLE).card(B).direct_regions) == {"eu-west-1": "account"}
        assert second.regions == {"us-east-1": NOW + DAY, "eu-west-1": NOW}
        assert second.failed.keys() == {"eu-west-1"}

    def test_a_region_that_answers_again_has_failed_no_more(self):
        first = learned_from({}, failures={"eu-west-1": failed()})
        assert learned_from({"eu-west-1": answer([])}, first).failed == {}

    def test_a_model_that_asked_for_a_profile_is_remembered(self):
        learned = require_profile(BUNDLE, NOTHING_LEARNED, A, "us-east-1")
        ids = [
            option.model_id for option in access_options(learned.over(BUNDLE).card(A), "us-east-1", DEFAULT_PREFERENCE)
        ]
        assert ids == [f"us.{A}"]
        assert require_profile(BUNDLE, learned, "acme.new-v1:0", "us-east-1").patch.keys() == {A, "acme.new-v1:0"}


class TestRegionsDue:
    def due(self, learned, *, later=timedelta()):
        return regions_due(learned, ["us-east-1", "eu-west-1"], NOW + later, max_age=DAY, retry_after=HOUR / 4)

    def test_everything_is_due_when_nothing_is_known(self):
        assert self.due(NOTHING_LEARNED) == ("us-east-1", "eu-west-1")

    def test_only_what_is_missing_or_too_old_is_due(self):
        learned = Learned({}, {"us-east-1": NOW}, {})
        assert self.due(learned) == ("eu-west-1",)
        assert self.due(learned, later=DAY) == ("us-east-1", "eu-west-1")

    @pytest.mark.parametrize(("later", "due"), [(HOUR / 5, ()), (HOUR / 4, ("us-east-1", "eu-west-1"))])
    @pytest.mark.parametrize("denied", [True, False])
    def test_what_failed_is_left_alone_for_a_while(self, later, due, denied):
        learned = Learned({}, {}, dict.fromkeys(("us-east-1", "eu-west-1"), failed(denied=denied)))
        assert self.due(learned, later=later) == due

    def test_a_region_that_denies_while_others_answer_is_left_alone_as_long_as_an_answer_is_good(self):
        learned = Learned({}, {"us-east-1": NOW}, {"eu-west-1": failed(denied=True)})
        assert self.due(learned, later=23 * HOUR) == ()
        assert "eu-west-1" in self.due(learned, later=DAY)


class TestDocument:
    LEARNED = learned_from(
        {
            "us-east-1": answer(
                [model(A, modelName="Odd name"), model("acme.new-v1:0")],
                [profile(f"us.{A}", "us-east-1", "us-west-2"), profile("us.acme.new-v1:0", "us-east-1", "us-west-2")],
            ),
            "eu-west-1": answer(
                [model(B)], [profile(f"eu.{A}", "eu-west-1"), profile(f"eu.{B}", "eu-west-1", "eu-west-3")]
            ),
            "ap-east-2": answer([]),
        },
        failures={"us-west-2": failed("AccessDeniedException", denied=True)},
    )

    FAR = ("us-east-1", "us-east-2", "us-west-1", "us-west-2", "us-somewhere-1", "us-elsewhere-1", "us-nowhere-1")

    def text(self, learned=LEARNED, **kept):
        return learned_to_text(learned, BUNDLE, bundled_checksum="sha256:1", package_version="1.2.3", **kept)

    def read(self, text, checksum="sha256:1"):
        return learned_from_text(text, BUNDLE, bundled_checksum=checksum)

    def forged(self, **changes):
        document = json.loads(self.text()) | changes
        document["checksum"] = checksum_of({key: value for key, value in document.items() if key != "checksum"})
        return json.dumps(document)

    def test_it_survives_writing_and_reading(self):
        again = self.read(self.text())
        assert again.over(BUNDLE).models == self.LEARNED.over(BUNDLE).models
        assert (again.regions, again.failed) == (self.LEARNED.regions, self.LEARNED.failed)
        assert self.text(again) == self.text()

    def test_a_person_can_read_what_it_is(self):
        document = json.loads(self.text())
        assert "delete it to have it made anew" in document["description"]
        assert document["package_version"] == "1.2.3"
        assert document["regions"] == {NOW.isoformat(): ["ap-east-2", "eu-west-1", "us-east-1"]}
        assert document["failed"]["us-west-2"]["code"] == "AccessDeniedException"

    def test_equal_destinations_are_written_once(self):
        document = json.loads(self.text())
        assert document["usual_destinations"]["us"] == {"*": ["us-east-1", "us-west-2"]}
        assert "destinations" not in document["models"]["acme.new-v1:0"]["profiles"]["us.acme.new-v1:0"]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "not JSON"),
            ("{", "not JSON"),
            ("[" * 100_000, "not JSON"),
            ("[]", "not a JSON object"),
            ("{}", "schema_version=None"),
            ('{"schema_version": 2}', "schema_version=2"),
            ('{"schema_version": 1}', "checksum does not fit"),
        ],
    )
    def test_a_text_that_is_not_the_document_is_refused(self, text, said):
        with pytest.raises(CatalogError, match=said):
            self.read(text)

    def test_a_text_that_was_edited_by_hand_is_refused(self):
        with pytest.raises(CatalogError, match="edited or cut off"):
            self.read(self.text().replace("Odd name", "odd name"))

    @pytest.mark.parametrize(
        "changes",
        [
            {"models": []},
            {"models": {A: "x"}},
            {"models": {A: {"profiles": {"not an id": {"source_regions": []}}}}},
            {"models": {A: {"lifecycle": {"end_of_life": "soon"}}}},
            {"models": {A: {"prices": {"default": {"input": 0.0}}}}},
            {"regions": {"yesterday": ["us-east-1"]}},
            {"regions": {"2026-11-21T12:00:00": ["us-east-1"]}},  # without a time zone: case 35
            {"failed": {"us-east-1": {}}},
            {"usual_destinations": {"us": 5}},
        ],
    )
    def test_a_document_of_another_form_is_refused_even_with_a_fitting_checksum(self, changes):
        with pytest.raises(CatalogError, match="form of a catalog"):
            self.read(self.forged(**changes))

    def test_over_another_snapshot_only_the_failures_count(self):
        read = self.read(self.text(), "sha256:2")
        assert (read.patch, read.regions) == ({}, {})
        assert read.failed == self.LEARNED.failed

    def test_what_does_not_fit_is_left_out_in_steps_and_where_data_goes_last(self):
        ends = datetime(2027, 6, 1, tzinfo=UTC)
        facts = {"modelName": "long " * 40, "modelLifecycle": {"status": "LEGACY", "endOfLifeTime": ends}}
        models = [model(A, **facts), *(model(f"acme.m{number}", **facts) for number in range(9))]
        own = [application_profile("us-east-1", f"a1b2c3d4e5f{number}", A, "us-east-1") for number in range(5)]
        learned = learned_from({"us-east-1": answer(models, [profile(f"us.{A}", *self.FAR), *own])})
        sizes = range(len(self.text(learned)), 400, -60)
        texts = [text for size in sizes if (text := self.text(learned, max_bytes=size))]
        omitted = [json.loads(text).get("omitted", []) for text in texts]
        order = ["application_profiles", "aws_name", "input_modalities", "output_modalities", "streaming", "lifecycle"]
        assert list(dict.fromkeys(map(len, omitted))) == [0, 1, 5, 6, 7]
        assert omitted[-1] == [*order, "destinations"]
        for text in texts:
            card = self.read(text).over(BUNDLE).card(A)
            assert access_options(card, "us-east-1") == access_options(learned.over(BUNDLE).card(A), "us-east-1")

    def test_what_does_not_fit_at_all_is_not_written(self):
        assert self.text(max_bytes=10) is None
