"""What a run will take, before anything is spent: tokens and money, each as a range.

Nothing here asks a tokenizer: AWS's CountTokens knows the count of a few models, and no table of words fits them all.
Texts are counted by their shape instead. Against three public tokenizers (cl100k, o200k and Claude's of 2023) that was
within 10 % for English prose, JSON and source code, 27 % below to 10 % above for German, French and Spanish, and off by
up to a factor of two for other languages, which is why the range is wide where texts are not mostly ASCII.
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.pricing import tokens_cost_usd
from airflow_provider_bedrock_llm.core.token_budget import media_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_provider_bedrock_llm.core.pricing import Prices
    from airflow_provider_bedrock_llm.core.request import BedrockConverseRequest

__all__ = ["Estimate", "OutputLength", "PromptSample", "Range", "estimate_run", "request_text_tokens", "text_tokens"]

_PIECES = re.compile(r"[A-Za-z]+|[0-9]{1,3}|[^\sA-Za-z0-9]")
_WHOLE_WORD_CHARACTERS = 6
_CHARACTERS_PER_FURTHER_TOKEN = 5
_TOKENS_OF_A_MARK = 0.9
_TOKENS_PER_CHARACTER = ((0x24F, 0.6), (0x6FF, 0.5))
"""(last code point, tokens): Latin with accents, then Greek to Arabic; anything beyond counts as a mark."""

_TOKENS_AROUND_A_MESSAGE = 5.0
_MOSTLY_ASCII = 0.95
_ERROR_OF_ASCII = (0.8, 1.35)
_ERROR_OF_OTHERS = (0.5, 2.1)
_ERROR_OF_COUNTED = (0.97, 1.03)
"""Tokens in truth, as a share of those estimated: from, to. Newer tokenizers of Claude cut finer, hence above one."""

_ERROR_OF_LEARNED_OUTPUT = (0.7, 1.5)
_SHARE_OF_MAX_TOKENS = 0.3
_LEAST_OF_MAX_TOKENS = 0.05
_OUTPUT_TOKENS_UNKNOWN = (20.0, 300.0, 2_000.0)


@dataclass(frozen=True, slots=True)
class Range:
    """A number that is not known yet."""

    low: float
    likely: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.likely <= self.high:
            raise ValueError(f"A range rises from 0 on, and {self.low}, {self.likely}, {self.high} does not.")


@dataclass(frozen=True, slots=True)
class PromptSample:
    """Prompts that were looked at, by their shape.

    Args:
        tokens: of each prompt, as `request_text_tokens` counts.
        ascii_share: of their characters, 0 to 1.
        counted_tokens: of the first of them, as Bedrock's CountTokens has it; empty where it was not asked.
    """

    tokens: tuple[float, ...]
    ascii_share: float = 1.0
    counted_tokens: tuple[int, ...] = ()

    @property
    def mean_tokens(self) -> float:
        """Of a prompt, corrected by what was counted."""
        if not self.tokens:
            return 0.0
        mean = math.fsum(self.tokens) / len(self.tokens)
        guessed = math.fsum(self.tokens[: len(self.counted_tokens)])
        return mean * sum(self.counted_tokens) / guessed if guessed else mean

    @property
    def error(self) -> tuple[float, float]:
        """By what the mean may have to be multiplied: at least, at most."""
        low, high = _ERROR_OF_ASCII if self.ascii_share >= _MOSTLY_ASCII else _ERROR_OF_OTHERS
        if self.counted_tokens:
            low, high = _ERROR_OF_COUNTED
        spread = self._sampling_error
        return max(0.0, low - spread), high + spread

    @property
    def _sampling_error(self) -> float:
        """Two standard errors of the mean, as a share of it."""
        count, mean = len(self.tokens), math.fsum(self.tokens) / max(1, len(self.tokens))
        if count <= 1 or mean == 0:
            return 0.0
        variance = math.fsum((tokens - mean) ** 2 for tokens in self.tokens) / (count - 1)
        return 2 * math.sqrt(variance / count) / mean


@dataclass(frozen=True, slots=True)
class OutputLength:
    """What is known of the length of answers.

    Args:
        max_tokens: the most that an answer may have; None for the model's own limit.
        learned_tokens: the mean of answers to this task that came before; None where there are none.
    """

    max_tokens: int | None = None
    learned_tokens: float | None = None

    @property
    def tokens(self) -> Range:
        """Of one answer. What is learned says more than a limit; without either, it is a guess in the hundreds."""
        most = self.max_tokens or math.inf
        if self.learned_tokens is not None:
            likely = min(self.learned_tokens, most)
            low, high = _ERROR_OF_LEARNED_OUTPUT
            return Range(likely * low, likely, min(likely * high, most))
        low, likely, high = _OUTPUT_TOKENS_UNKNOWN
        if self.max_tokens:
            low, likely, high = min(low, most * _LEAST_OF_MAX_TOKENS), most * _SHARE_OF_MAX_TOKENS, most
        return Range(low, likely, high)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run will take.

    Args:
        rows: records of the source.
        reused_rows: those that have an answer already, and cost nothing.
        distinct_rows: requests that will be asked: without the reused, and equal ones once where the job dedupes.
        input_tokens: of all of them.
        output_tokens: of all of them.
        usd: their price in US dollars, without what a prompt cache may save; None where the price is not known.
        method: `count_tokens` where Bedrock counted a sample, else `heuristic`.
    """

    rows: int
    reused_rows: int
    distinct_rows: int
    input_tokens: Range
    output_tokens: Range
    usd: Range | None
    method: str = "heuristic"

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe, numbers only."""
        return asdict(self)

    @property
    def line(self) -> str:
        """In one line for a log."""
        rows = f"{self.distinct_rows:,} of {self.rows:,} rows to ask"
        if self.reused_rows:
            rows += f" ({self.reused_rows:,} have an answer)"
        tokens = f"{_span(self.input_tokens, ',.0f')} tokens in, {_span(self.output_tokens, ',.0f')} out"
        price = "price not known" if self.usd is None else f"{_span(self.usd, ',.4f')} USD"
        return f"Estimate: {rows}, {tokens}, {price} ({self.method})"


def _span(value: Range, form: str) -> str:
    return f"{value.likely:{form}} ({value.low:{form}} to {value.high:{form}})"


def text_tokens(text: str) -> float:
    """Roughly how many tokens a text has, by its words, digits and marks."""
    tokens = 0.0
    for piece in _PIECES.findall(text):
        if not piece.isascii():
            point = ord(piece)
            tokens += next((each for last, each in _TOKENS_PER_CHARACTER if point <= last), _TOKENS_OF_A_MARK)
        elif piece.isalpha():
            tokens += 1 + max(0, len(piece) - _WHOLE_WORD_CHARACTERS) / _CHARACTERS_PER_FURTHER_TOKEN
        else:
            tokens += 1 if piece.isdigit() else _TOKENS_OF_A_MARK
    return tokens


def request_text_tokens(request: BedrockConverseRequest) -> tuple[float, int, int]:
    """A request by its shape.

    Returns:
        Tokens, characters, and how many of those are ASCII.
    """
    texts = list(_texts([request.system, request.messages, request.tool_config]))
    tokens = math.fsum(map(text_tokens, texts)) + _TOKENS_AROUND_A_MESSAGE * len(request.messages)
    tokens += media_tokens(request.messages)
    return tokens, sum(map(len, texts)), sum(sum(map(str.isascii, text)) for text in texts)


def _texts(content: Any) -> Iterable[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for value in content.values():
            yield from _texts(value)
    elif isinstance(content, (list, tuple)):
        for item in content:
            yield from _texts(item)


def estimate_run(
    rows: int,
    reused_rows: int,
    distinct_rows: int,
    prompts: PromptSample,
    output: OutputLength,
    prices: Sequence[Prices | None],
    *,
    extra_input_tokens: float = 0.0,
    tier: str | None = None,
) -> Estimate:
    """Put together what is known.

    Args:
        rows: as in `Estimate`.
        reused_rows: as in `Estimate`.
        distinct_rows: as in `Estimate`.
        prompts: a sample of what will be asked.
        output: what is known of the answers' length.
        prices: of the routes, best first; the first one is likely, the others bound the range.
        extra_input_tokens: what every request carries besides, such as a schema as a tool.
        tier: the service tier: `flex`, `priority`, `batch`; None for on-demand.
    """
    low, high = prompts.error
    likely = prompts.mean_tokens + (0.0 if prompts.counted_tokens else extra_input_tokens)
    read, written = Range(likely * low, likely, likely * high), output.tokens
    return Estimate(
        rows=rows,
        reused_rows=reused_rows,
        distinct_rows=distinct_rows,
        input_tokens=_times(read, distinct_rows),
        output_tokens=_times(written, distinct_rows),
        usd=_usd(read, written, distinct_rows, prices, tier),
        method="count_tokens" if prompts.counted_tokens else "heuristic",
    )


def _usd(read: Range, written: Range, requests: int, prices: Sequence[Prices | None], tier: str | None) -> Range | None:
    def costs(input_tokens: float, output_tokens: float) -> list[float | None]:
        tokens = {"input_tokens": input_tokens, "output_tokens": output_tokens}
        return [
            None if price is None else tokens_cost_usd(price, **tokens, tier=tier, requests=requests)
            for price in prices
        ]

    likely = next(iter(costs(read.likely, written.likely)), None)
    if likely is None:
        return None
    low = min(cost for cost in costs(read.low, written.low) if cost is not None)
    high = max(cost for cost in costs(read.high, written.high) if cost is not None)
    return Range(min(low, likely), likely, max(high, likely))


def _times(value: Range, count: int) -> Range:
    return Range(value.low * count, value.likely * count, value.high * count)
