"""The compact table behaves as a dict does."""

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bedrock_llm.jobs.hash_table import HashSet, HashTable, hash_key

NUMBERS = st.integers(0, 2**64 - 1)


@given(st.lists(st.tuples(st.integers(1, 300) | NUMBERS, NUMBERS)))
def test_it_holds_what_a_dict_would_hold(pairs):
    table, expected = HashTable(), {}
    for key, value in pairs:
        table.put(key, value)
        expected[key or 1] = value

    assert len(table) == len(expected)
    assert {key: table.get(key) for key in expected} == expected


@given(st.lists(NUMBERS, unique=True), st.integers(0, 5_000))
def test_a_table_of_another_size_than_expected_holds_the_same(keys, expected):
    table = HashTable(expected)
    for key in keys:
        table.put(key, 1)

    assert len(table) == len({key or 1 for key in keys})
    assert all(table.get(key) == 1 for key in keys)


def test_keys_that_crowd_one_shard_are_all_found():
    keys = [64 * number + 7 for number in range(1, 3000)]
    table = HashTable()
    for key in keys:
        table.put(key, key + 1)

    assert all(table.get(key) == key + 1 for key in keys)
    assert table.get(64 * 3000 + 7) is None


def test_a_key_tells_where_one_text_ends_and_the_next_begins():
    assert hash_key("ab", "c") != hash_key("a", "bc")
    assert hash_key("ab", "c") == hash_key("ab", "c")


def test_a_text_with_half_a_surrogate_pair_has_a_key():
    assert hash_key("\ud83d") != hash_key("?")


@given(st.lists(st.integers(1, 500) | NUMBERS))
def test_the_set_knows_what_it_has_seen(keys):
    seen, expected = HashSet(), set()
    for key in keys:
        assert seen.add(key) == ((key or 1) not in expected)
        expected.add(key or 1)

    assert len(seen) == len(expected)
