"""What a terminal can show, and a pipe should not get."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["can_show", "count", "painted", "without_logs"]

_COLOURS = {"red": 31, "green": 32, "yellow": 33, "dim": 2}


def count(text: str) -> int:
    """An argument's number of things.

    Raises:
        argparse.ArgumentTypeError: it is no whole number above 0.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


@contextlib.contextmanager
def without_logs() -> Iterator[TextIO]:
    """Keep logs away from what a command prints: Airflow's command line writes them to the standard output.

    Yields:
        The standard output, for the command's own words.
    """
    screen = sys.stdout
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield screen
    finally:
        logging.disable(logging.NOTSET)


def painted(text: str, colour: str, stream: TextIO) -> str:
    """The text in a colour where somebody sees it: not in a pipe, and not where NO_COLOR (no-color.org) is set."""
    if not stream.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\033[{_COLOURS[colour]}m{text}\033[0m"


def can_show(text: str, stream: TextIO) -> bool:
    """Whether the encoding of a stream has these characters."""
    try:
        text.encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
