"""Models as rows: filtered, priced by the id to send, sorted; and those that end soon."""

from datetime import date

import pytest

from airflow_provider_bedrock_llm.core.catalog import Catalog
from airflow_provider_bedrock_llm.core.model_listing import ModelFilter, ends_within, model_rows

TODAY = date(2026, 11, 21)


def entry(name, *, input_usd=None, ends=None, capabilities=(), **raw):
    prices = {} if input_usd is None else {"prices": {"default": {"input": input_usd, "output": 2 * input_usd}}}
    lifecycle = {} if ends is None else {"lifecycle": {"end_of_life": ends}}
    return (
        {
            "name": name,
            "provider": "Acme",
            "mode": "chat",
            "sources": ["snapshot"],
            "direct_regions": {"us-east-1": "aws_api"},
            "capabilities": dict.fromkeys(capabilities, True),
        }
        | prices
        | lifecycle
        | raw
    )


CATALOG = Catalog(
    {
        "acme.cheap": entry("Cheap", input_usd=0.1, capabilities=("tool_use",), ends="2026-12-01"),
        "acme.dear": entry("Dear", input_usd=5.0, capabilities=("tool_use", "vision"), context_window_tokens=200_000),
        "acme.unpriced": entry("Unpriced", capabilities=("tool_use",), context_window_tokens=1_000_000),
        "acme.over": entry("Over", input_usd=0.01, capabilities=("tool_use",), ends="2026-11-20"),
        "acme.profile": entry(
            "Through a profile",
            direct_regions={},
            profiles={"us.acme.profile": {"source_regions": ["us-east-1"]}},
            prices={
                "default": {"input": 1.0, "output": 1.0},
                "by_profile": {"us.acme.profile": {"input": 2, "output": 3}},
            },
            lifecycle={"release_date": "2026-10-01"},
        ),
        "acme.embed": entry("Embed", mode="embedding", direct_regions={"eu-west-1": "aws_api"}),
    },
    {"snapshot": frozenset({"us-east-1", "eu-west-1"})},
)


def names(sort="name", **wanted):
    return [row.card.name for row in model_rows(CATALOG, ModelFilter(**wanted), sort=sort)]


def test_the_cheapest_comes_first_and_what_has_no_price_last():
    assert names("price", region="us-east-1", today=TODAY) == ["Cheap", "Through a profile", "Dear", "Unpriced"]


def test_a_row_says_which_id_to_send_and_what_that_costs():
    row = next(
        row for row in model_rows(CATALOG, ModelFilter(region="us-east-1")) if row.card.name == "Through a profile"
    )
    told = row.as_dict()
    assert (told["send"], told["access"], told["assumed"]) == ("us.acme.profile", "regional_profile", False)
    assert (told["input_usd_per_million"], told["output_usd_per_million"], row.price_usd) == (2, 3, 5)
    assert told["price_basis"] == "profile"


def test_without_a_region_the_base_id_and_its_price_are_shown():
    row = next(row for row in model_rows(CATALOG, ModelFilter()) if row.card.name == "Through a profile")
    assert (row.send, row.access, row.price_usd) == ("acme.profile", None, 2.0)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"capabilities": ("tool_use", "vision")}, ["Dear"]),
        ({"mode": "embedding"}, ["Embed"]),
        ({"provider": "other"}, []),
        ({"region": "eu-west-1"}, ["Embed"]),
        ({"max_price_usd": 0.3}, ["Cheap", "Over"]),
        ({"max_price_usd": 0.3, "today": TODAY}, ["Cheap"]),
    ],
)
def test_a_filter_keeps_what_is_known_to_fit(wanted, found):
    assert names(**wanted) == found


@pytest.mark.parametrize(
    ("sort", "first"),
    [("name", "Cheap"), ("context", "Unpriced"), ("release", "Through a profile"), ("end_of_life", "Over")],
)
def test_rows_are_sorted_by_what_is_asked(sort, first):
    assert names(sort)[0] == first


def test_a_sort_key_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="sort='size'"):
        model_rows(CATALOG, ModelFilter(), sort="size")


def test_models_that_end_soon_come_soonest_first():
    cards = [*CATALOG, Catalog({"acme.gone": {"lifecycle": {"status": "END_OF_LIFE"}}}).card("acme.gone")]
    assert [(card.name, left) for card, left in ends_within(cards, TODAY, 10)] == [
        ("acme.gone", None),
        ("Over", -1),
        ("Cheap", 10),
    ]
    assert [card.name for card, _ in ends_within(cards, TODAY, 9)] == ["acme.gone", "Over"]
