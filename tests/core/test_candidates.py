"""Candidate lists: LLMRouter's JSON, each fault by its entry, and what the catalog fills."""

import json

import pytest

from airflow_provider_bedrock_llm.aws.catalog_bundle import load_bundled_catalog
from airflow_provider_bedrock_llm.core.candidate_facts import candidate_entries, complete_candidates
from airflow_provider_bedrock_llm.core.candidates import Candidate, parse_candidates, size_parameters
from airflow_provider_bedrock_llm.core.errors import ConfigurationError
from airflow_provider_bedrock_llm.core.model_listing import ModelFilter, model_rows
from airflow_provider_bedrock_llm.core.pricing import TokenPrices

QWEN = {"service": "NVIDIA", "model": "qwen/qwen2.5-7b-instruct", "size": "7B", "input_price": 0.2, "output_price": 0.2}
NOVA = {"service": "Bedrock", "model": "amazon.nova-lite-v1:0"}


@pytest.fixture(scope="module")
def catalog():
    return load_bundled_catalog()


def test_llmrouters_own_entries_are_read():
    (qwen,) = parse_candidates({"qwen2.5-7b-instruct": {**QWEN, "feature": "Many languages."}})
    assert (qwen.name, qwen.service, qwen.parameters, qwen.is_bedrock) == ("qwen2.5-7b-instruct", "NVIDIA", 7e9, False)
    assert qwen.prices == TokenPrices(input=0.2, output=0.2)


def test_a_list_of_entries_and_json_text_are_read_alike():
    named = {"a": QWEN, "b": NOVA}
    listed = [{"name": name, **entry} for name, entry in named.items()]
    assert parse_candidates(named) == parse_candidates(listed) == parse_candidates(json.dumps(named))


def test_candidates_survive_the_way_through_json():
    given = parse_candidates({"a": QWEN, "b": {**NOVA, "weight": 3, "inference_config": {"maxTokens": 5}}})
    assert parse_candidates(json.loads(json.dumps([one.to_dict() for one in given]))) == given


def test_every_fault_is_named_with_its_entry_in_one_error():
    with pytest.raises(ConfigurationError) as raised:
        parse_candidates(
            {
                "no model": {"service": "Bedrock"},
                "no service": {"model": "m"},
                "text price": {**QWEN, "input_price": "cheap"},
                "minus": {**QWEN, "output_price": -1},
                "size": {**QWEN, "size": "large"},
                "region": {**NOVA, "aws_region": "Virginia"},
                "typo": {**NOVA, "aws_regoin": "us-east-1"},
                "endpoint": {**QWEN, "api_endpoint": "localhost:80"},
                "priceless": {"service": "OpenAI", "model": "gpt-4o"},
                "flat": "amazon.nova-lite-v1:0",
                "words": {**NOVA, "capabilities": "tool_use"},
                "right": NOVA,
            },
            "models.json",
        )
    text = str(raised.value)
    assert text.startswith("models.json has 12 faults: ")
    for told in (
        "no model: model is missing",
        "no service: service is missing",
        "text price: input_price is 'cheap', not a number",
        "minus: output_price=-1 is not 0 or more",
        "size: size='large' is not of the form",
        "region: aws_region='Virginia'",
        "typo: 'aws_regoin' is no field of a candidate; did you mean 'aws_region'?",
        "endpoint: api_endpoint='localhost:80'",
        "priceless: input_price is missing",
        "flat: the entry is str",
        "words: capabilities='tool_use' is not a list",
    ):
        assert told in text
    assert "right:" not in text


@pytest.mark.parametrize("data", [{}, [], "{}", 5, "no json", None, "[" * 100_000, b"\xff{"])
def test_what_is_no_list_is_refused(data):
    with pytest.raises(ConfigurationError):
        parse_candidates(data)


def test_a_price_is_a_number_that_a_computer_can_count_with():
    for price in ("NaN", "1e999", "1" + "0" * 400):
        with pytest.raises(ConfigurationError, match=r"a: input_price=.* is not 0 or more, and finite"):
            parse_candidates(f'{{"a": {{"service": "Bedrock", "model": "m", "input_price": {price}}}}}')


def test_json_that_has_a_name_twice_does_not_lose_the_first():
    entry = json.dumps(NOVA)
    with pytest.raises(ConfigurationError, match="an object has 'a' twice"):
        parse_candidates(f'{{"a": {entry}, "a": {entry}}}')


def test_a_name_may_be_there_once():
    with pytest.raises(ConfigurationError, match="a: the name is there twice"):
        parse_candidates([{"name": "a", **QWEN}, {"name": "a", **NOVA}])


@pytest.mark.parametrize("service", ["Bedrock", "bedrock", "AWS", "aws", " Amazon Bedrock "])
def test_bedrock_has_several_names(service):
    (one,) = parse_candidates({"a": {**NOVA, "service": service}})
    assert one.is_bedrock
    assert one.choice.service is None


@pytest.mark.parametrize(
    ("size", "parameters"),
    [("7B", 7e9), ("1.5b", 1.5e9), ("8x7B", 56e9), ("350M", 350e6), ("1T", 1e12), (None, None), ("unknown", None)],
)
def test_sizes(size, parameters):
    assert size_parameters(size) == parameters


def test_an_unknown_size_is_no_fault():
    (one,) = parse_candidates({"a": {**NOVA, "size": "unknown"}})
    assert one.size is None


def test_what_is_missing_comes_from_the_catalog_and_is_marked(catalog):
    (one,) = complete_candidates({"nova": NOVA}, catalog, ["us-east-1"])
    assert (one.input_price, one.output_price, one.context_window_tokens) == (0.06, 0.24, 300000)
    assert one.input_modalities == ("IMAGE", "TEXT", "VIDEO")
    assert "tool_use" in one.capabilities
    assert "Nova Lite by Amazon" in one.feature
    assert {"input_price", "feature", "context_window_tokens"} <= set(one.filled)
    assert one.prices is None


def test_what_is_given_stays_and_is_not_marked(catalog):
    given = {**NOVA, "feature": "My words.", "input_price": 1, "output_price": 2}
    (one,) = complete_candidates({"nova": given}, catalog, ["us-east-1"])
    assert (one.feature, one.input_price, one.output_price) == ("My words.", 1, 2)
    assert not {"feature", "input_price", "output_price"} & set(one.filled)
    assert one.prices == TokenPrices(input=1, output=2)


def test_the_filled_price_is_that_of_the_id_that_is_sent(catalog):
    entry = {"service": "Bedrock", "model": "anthropic.claude-haiku-4-5-20251001-v1:0", "aws_region": "eu-west-1"}
    (one,) = complete_candidates({"haiku": entry}, catalog, [])
    assert (one.input_price, one.output_price) == (1.1, 5.5)


def test_sizes_are_taken_from_ids_that_tell_them(catalog):
    listed = {"l": {"service": "Bedrock", "model": "meta.llama3-3-70b-instruct-v1:0"}, "n": NOVA}
    llama, nova = complete_candidates(listed, catalog, ["us-east-1"])
    assert (llama.size, nova.size) == ("70B", None)


def test_models_that_are_not_known_or_not_there_are_faults(catalog):
    listed = {
        "typo": {"service": "Bedrock", "model": "Nova Lihte"},
        "away": {"service": "Bedrock", "model": "meta.llama3-1-405b-instruct-v1:0", "aws_region": "us-east-1"},
        "fine": NOVA,
    }
    with pytest.raises(ConfigurationError, match="2 faults") as raised:
        complete_candidates(listed, catalog, ["us-east-1"])
    assert "typo: The model 'Nova Lihte' is not known. Did you mean 'Nova Lite'" in str(raised.value)
    assert "away: meta.llama3-1-405b-instruct-v1:0 cannot be asked in us-east-1; it is known in" in str(raised.value)


def test_other_services_are_left_as_they_are(catalog):
    (one,) = complete_candidates({"qwen": QWEN}, catalog, [])
    assert one == Candidate("qwen", "qwen/qwen2.5-7b-instruct", "NVIDIA", size="7B", input_price=0.2, output_price=0.2)


def test_a_list_made_from_the_catalog_is_right(catalog):
    rows = model_rows(catalog, ModelFilter(region="us-east-1", mode="chat"))
    entries = candidate_entries(rows, "us-east-1")
    assert len(entries) == len(rows) > 50
    complete = complete_candidates(json.dumps(entries), catalog, [])
    assert [one.name for one in complete] == list(entries)
