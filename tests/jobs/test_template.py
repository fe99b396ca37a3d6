"""Prompt templates: the row is data, never code."""

import pytest

from airflow_provider_bedrock_llm.core.errors import TemplateError
from airflow_provider_bedrock_llm.jobs.template import PromptTemplate


def rendered(template, /, **fields):
    return PromptTemplate(template, "prompt_template").render(fields)


def test_columns_are_filled_in():
    assert rendered("Rate {{ text }} ({{ stars }})", text="good", stars=5) == "Rate good (5)"


@pytest.mark.parametrize("data", ["{{ 7 * 7 }}", "{% for x in y %}", "{# gone #}", "{{ text }}", "${jndi:ldap://x}"])
def test_data_that_looks_like_a_template_stays_as_it_is(data):
    assert rendered("<{{ text }}>", text=data) == f"<{data}>"


def test_a_column_with_an_odd_name_is_reached_through_the_record():
    template = PromptTemplate("{{ record['product name'] }} {{ record.size }}", "prompt_template")

    assert template.render({"product name": "lamp", "size": "L"}) == "lamp L"
    assert template.columns == {"product name", "size"}


def test_columns_that_every_row_must_have_are_known_before_rendering():
    template = PromptTemplate("{{ a }}{% for item in rows %}{{ item.x }}{% endfor %}{% set b = 1 %}{{ b }}", "p")

    assert template.columns == {"a", "rows"}


@pytest.mark.parametrize(
    "text", ["{{ a | default('-') }}", "{{ a | d('-') }}", "{% if a is defined %}{{ a }}{% endif %}"]
)
def test_a_column_with_a_default_or_a_test_may_be_missing(text):
    template = PromptTemplate(text, "prompt_template")

    assert template.columns == frozenset()
    assert template.render({}) in {"-", ""}


def test_an_empty_json_value_renders_as_nothing():
    assert rendered("<{{ text }}>", text=None) == "<>"


def test_filters_conditions_and_loops_are_there():
    template = (
        "{% if stars | int >= 4 %}Liked{% elif stars %}Not liked{% else %}Not rated{% endif %}: "
        "{% for tag in tags if tag != 'x' %}{{ tag | upper }}{{ ', ' if not loop.last }}{% else %}no tags{% endfor %} "
        "{{ text | trim | truncate(7, True, '...', 0) }}"
    )
    assert rendered(template, stars="5", tags=["a", "x", "b"], text=" long enough ") == "Liked: A, B long..."
    assert rendered(template, stars=2, tags=[], text="short") == "Not liked: no tags short"
    assert rendered(template, stars="", tags=["x"], text="short") == "Not rated: no tags short"


def test_json_is_written_for_a_model_and_not_for_html():
    value = {"text": "<b>\u00e4 & 'b'</b>", "n": [1, None]}
    assert rendered("{{ value | tojson }}", value=value) == '{"text": "<b>\u00e4 & \'b\'</b>", "n": [1, null]}'
    assert rendered("{{ record | tojson(indent=1) }}", a=1) == '{\n "a": 1\n}'
    with pytest.raises(TemplateError):
        rendered("{{ value | tojson }}", value={1, 2})


def test_a_static_template_keeps_its_escapes():
    assert rendered("{% raw %}{{ x }}{% endraw %}{# note #}!\n") == "{{ x }}!\n"


def test_malformed_jinja_names_setting_and_line():
    with pytest.raises(TemplateError, match=r"system_template .*line 2") as caught:
        PromptTemplate("ok\n{{ text ", "system_template")

    assert not caught.value.retry_helps


def test_a_missing_column_is_an_error_and_not_an_empty_text():
    with pytest.raises(TemplateError, match="'text' is undefined"):
        rendered("{{ text }}")


@pytest.mark.parametrize("text", ["{{ text.__class__.__mro__ }}", "{{ ''.__class__.__base__.__subclasses__() }}"])
def test_templates_run_in_the_sandbox(text):
    with pytest.raises(TemplateError):
        rendered(text, text="x")


def test_an_error_while_rendering_does_not_quote_the_row():
    with pytest.raises(TemplateError) as caught:
        rendered("{{ text | int(base='canary-secret') }}{{ text + 1 }}", text="canary-secret")

    assert "canary-secret" not in str(caught.value)
