"""Pieces of text -> lines, for a log that shows an answer while it is made."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LineBuffer"]


@dataclass(slots=True)
class LineBuffer:
    """Holds text until it makes a line.

    Args:
        width_characters: a paragraph without a line break is broken at the last space before that.
    """

    width_characters: int = 160
    held: str = ""

    def add(self, piece: str) -> list[str]:
        """Take a piece; the lines that are whole now."""
        *lines, self.held = (self.held + piece).split("\n")
        wrapped: list[str] = []
        for line in lines:
            wrapped.append(self._wrap(line, wrapped))
        self.held = self._wrap(self.held, wrapped)
        return wrapped

    def flush(self) -> list[str]:
        """What is left, at the end of the text."""
        rest, self.held = self.held, ""
        return [rest] if rest else []

    def _wrap(self, line: str, into: list[str]) -> str:
        while len(line) > self.width_characters:
            at = line.rfind(" ", 0, self.width_characters + 1)
            cut, skip = (at, 1) if at > 0 else (self.width_characters, 0)
            into.append(line[:cut])
            line = line[cut + skip :]
        return line
