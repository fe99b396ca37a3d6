"""How long the catalog takes to load. Run alone: `python -m tests.bench.bench_catalog`.

The best of some rounds counts: what is slower, something else on the machine made slower. The targets: the bundled
snapshot under 50 ms in a fresh process, and under 30 ms for the Variable's way beyond the call that fetches its text.
"""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_bedrock_llm.aws.catalog_bundle import bundled_checksum, load_bundled_catalog
from airflow_provider_bedrock_llm.core.learned import NOTHING_LEARNED, Learned, RegionAnswer, learn
from airflow_provider_bedrock_llm.core.learned_document import learned_from_text, learned_to_text

if TYPE_CHECKING:
    from airflow_provider_bedrock_llm.core.catalog import Catalog

_ROUNDS = 7
_FRESH = """
import time
from airflow_provider_bedrock_llm.core.catalog import Catalog
start = time.perf_counter()
from airflow_provider_bedrock_llm.aws.catalog_bundle import load_bundled_catalog
load_bundled_catalog()
loaded = time.perf_counter()
load_bundled_catalog().resolve("Claude Sonnet 4.5")
print((loaded - start) * 1000, (time.perf_counter() - loaded) * 1000)
"""


def bench_catalog() -> list[str]:
    """Measure, and return lines to print."""
    loads, first_questions = zip(*(_fresh_process() for _ in range(_ROUNDS)), strict=True)
    text, learned = _whole_account()
    reads = [_read(text) for _ in range(_ROUNDS)]
    compact = {room: _fits(learned, room) for room in (4_096, 8_192, 65_536)}
    return [
        f"bundled catalog, fresh process:     {min(loads):6.1f} ms (target 50)",
        f"first name resolved after that:     {min(first_questions):6.1f} ms",
        f"Variable of {len(text.encode()):6,} bytes read:       {min(reads):6.1f} ms (target 30)",
        *(f"room for {room:6,} bytes:             {told}" for room, told in compact.items()),
    ]


def _fresh_process() -> tuple[float, float]:
    done = subprocess.run([sys.executable, "-c", _FRESH], capture_output=True, text=True, check=True)
    loaded, asked = done.stdout.split()
    return float(loaded), float(asked)


def _whole_account() -> tuple[str, Learned]:
    """An account whose regions answer as the snapshot says, with the regions to which each profile sends requests."""
    bundle = load_bundled_catalog()
    answers = {region: _answer(bundle, region) for region in sorted(bundle.regions)}
    learned = learn(bundle, NOTHING_LEARNED, answers, {}, datetime.now(UTC))
    return _text(learned, None) or "", learned


def _answer(bundle: Catalog, region: str) -> RegionAnswer:
    models = [
        {
            "modelId": card.model_id,
            "modelName": card.name,
            "inferenceTypesSupported": ["ON_DEMAND"] if region in card.direct_regions else ["INFERENCE_PROFILE"],
            "responseStreamingSupported": card.streaming is not False,
            "modelLifecycle": {"status": "ACTIVE"},
        }
        for card in bundle
        if region in card.regions
    ]
    profiles = [
        {
            "inferenceProfileId": profile.model_id,
            "type": "SYSTEM_DEFINED",
            "models": [
                {"modelArn": f"arn:aws:bedrock:{to}::foundation-model/{card.model_id}"}
                for to in sorted(profile.source_regions)
            ],
        }
        for card in bundle
        for profile in card.profiles
        if region in profile.source_regions
    ]
    return RegionAnswer(models, profiles)


def _text(learned: Learned, max_bytes: int | None) -> str | None:
    return learned_to_text(
        learned,
        load_bundled_catalog(),
        bundled_checksum=bundled_checksum(),
        package_version="bench",
        max_bytes=max_bytes,
    )


def _fits(learned: Learned, room_bytes: int) -> str:
    text = _text(learned, room_bytes)
    if text is None:
        return "too little"
    omitted = text.partition('"omitted":')[2]
    return f"{len(text.encode()):6,} bytes" + (", with something left out" if omitted else ", whole")


def _read(text: str) -> float:
    start = time.perf_counter()
    catalog = learned_from_text(text, load_bundled_catalog(), bundled_checksum=bundled_checksum())
    catalog.over(load_bundled_catalog()).resolve("Claude Sonnet 4.5")
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    print("\n".join(bench_catalog()))
