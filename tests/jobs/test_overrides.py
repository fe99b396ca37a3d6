"""Rows that say how they are asked."""

import pytest

from airflow_provider_bedrock_llm.core.errors import RequestValidationError
from airflow_provider_bedrock_llm.jobs.overrides import Override, Overrides

COLUMNS = {"model": "m", "max_tokens": "limit", "temperature": "t", "system": "s"}


def override(row, models=("a",)):
    return Overrides(COLUMNS, models).of(row)


def test_cells_stand_above_the_job():
    assert override({"m": "b", "limit": 5, "t": 0.5, "s": "Be brief."}) == Override(
        ["b"], {"maxTokens": 5, "temperature": 0.5}, "Be brief."
    )


@pytest.mark.parametrize("row", [{}, {"m": "", "limit": None, "t": "", "s": ""}])
def test_empty_cells_say_nothing(row):
    assert override(row) == Override()


def test_texts_of_csv_are_numbers():
    assert override({"limit": "200", "t": "0"}).inference_config == {"maxTokens": 200, "temperature": 0.0}


def test_a_list_of_models_is_their_order():
    assert override({"m": ["b", "c"]}).models == ["b", "c"]


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": "canary"}, "limit"),
        ({"limit": 1.5}, "limit"),
        ({"limit": True}, "limit"),
        ({"t": -1}, "t"),
        ({"t": "nan"}, "t"),
        ({"m": 7}, "m"),
        ({"m": []}, "m"),
        ({"m": ["a", ""]}, "m"),
        ({"s": ["canary"]}, "s"),
    ],
)
def test_what_cannot_be_is_refused_by_its_column_and_not_quoted(row, column):
    with pytest.raises(RequestValidationError, match=f"The column '{column}'") as caught:
        override(row)
    assert "canary" not in str(caught.value)


def test_the_rows_settings_stand_above_those_of_a_model_of_the_job():
    models = ("a", {"model": "b", "inference_config": {"maxTokens": 9, "topP": 0.5}})
    assert override({"limit": 3}, models).models == [
        "a",
        {"model": "b", "inference_config": {"maxTokens": 3, "topP": 0.5}},
    ]
    assert override({"s": "x"}, models).models == ()
