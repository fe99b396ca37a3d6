"""JSON Merge Patch, both ways."""

from copy import deepcopy

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bedrock_llm.core.merge_patch import apply_patch, make_patch

values = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=3),
    lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.text(max_size=3), values, max_size=5)


@given(objects, objects)
def test_a_patch_turns_before_into_after_and_leaves_before_alone(before, after):
    kept = deepcopy(before)
    assert apply_patch(before, make_patch(before, after)) == after
    assert before == kept


@given(objects)
def test_equal_objects_need_no_patch(same):
    assert make_patch(same, deepcopy(same)) == {}


def test_none_takes_a_member_out_and_objects_are_patched_inside():
    before = {"a": {"b": 1, "c": 2}, "d": [1, 2]}
    assert apply_patch(before, {"a": {"b": None}, "d": [3]}) == {"a": {"c": 2}, "d": [3]}
