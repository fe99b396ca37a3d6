"""An answer in the log is shown whole and in order, line by line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bedrock_llm.core.line_buffer import LineBuffer


def lines_of(pieces, width=160):
    buffer = LineBuffer(width)
    lines = [line for piece in pieces for line in buffer.add(piece)]
    return [*lines, *buffer.flush()]


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([], []),
        (["one"], ["one"]),
        (["one\ntw", "o\n"], ["one", "two"]),
        (["a\n\nb"], ["a", "", "b"]),
        (["one two three"], ["one two", "three"]),
        (["one tw", "o three"], ["one two", "three"]),
        (["abcdefghijkl"], ["abcdefgh", "ijkl"]),
        (["one two three\nfour"], ["one two", "three", "four"]),
    ],
)
def test_lines(pieces, lines):
    assert lines_of(pieces, 8) == lines


def test_a_line_is_shown_as_soon_as_it_is_whole():
    buffer = LineBuffer()
    assert buffer.add("one\ntw") == ["one"]
    assert buffer.add("o") == []


@given(st.lists(st.text(alphabet="ab \n", max_size=10)), st.integers(1, 12))
def test_nothing_is_lost_but_line_breaks_and_spaces(pieces, width):
    lines = lines_of(pieces, width)
    letters = str.maketrans("", "", " \n")
    assert "".join(lines).translate(letters) == "".join(pieces).translate(letters)
    assert all(len(line) <= width for line in lines)
