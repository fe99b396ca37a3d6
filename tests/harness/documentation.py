"""The blocks of code in a page of the documentation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - a field of a dataclass

__all__ = ["Block", "blocks_of"]

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One block.

    Attributes:
        path: the page.
        line: the line of its first statement.
        language: what stands behind the fence.
        code: its text.
    """

    path: Path
    line: int
    language: str
    code: str

    def compile(self):
        """The code, with the page's line numbers for tracebacks."""
        return compile("\n" * (self.line - 1) + self.code, str(self.path), "exec")


def blocks_of(path: Path) -> list[Block]:
    """The blocks of a Markdown file, in their order."""
    text = path.read_text(encoding="utf-8")
    return [Block(path, text.count("\n", 0, found.start()) + 2, found[1], found[2]) for found in _FENCE.finditer(text)]
