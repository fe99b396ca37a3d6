"""Build the model catalog of the wheel from the facts file, deterministically.

    python .tools/build_catalog.py            write airflow_provider_bedrock_llm/aws/catalog_bundled.json
    python .tools/build_catalog.py --check    fail where the file in the tree is another one
    python .tools/build_catalog.py --ask-aws  ask every region first, with the credentials that boto3 finds

What AWS said is kept in catalog_aws.json, as a difference from the facts, and counts in every later build.

The facts come from data files of public packages (airflow_provider_bedrock_llm/NOTICE names them). What this script
adds is only spelling: the names and aliases of catalog_names.json, and for Claude both orders of family and version,
because people and AWS write both. What it takes away is what cannot be right for Converse: prices of another
endpoint, and capabilities that a source gives to a whole family although its first members never had them.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

TOOLS = Path(__file__).parent
sys.path.insert(0, str(TOOLS.parent))

from airflow_provider_bedrock_llm.core.catalog import ACCOUNT, Catalog, checksum_of, normal_name  # noqa: E402
from airflow_provider_bedrock_llm.core.learned import NOTHING_LEARNED, RegionAnswer, learn  # noqa: E402
from airflow_provider_bedrock_llm.core.merge_patch import apply_patch  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

BUNDLE = TOOLS.parent / "airflow_provider_bedrock_llm" / "aws" / "catalog_bundled.json"
RENAMED = {"context_window": "context_window_tokens", "mantle": "other_endpoint"}
COPIED = (
    "aliases",
    "capabilities",
    "confidence",
    "context_window",
    "converse",
    "input_modalities",
    "lifecycle",
    "mantle",
    "max_output_tokens",
    "mode",
    "name",
    "output_modalities",
    "provider",
    "sources",
    "streaming",
)
SOURCE_NAMES = {
    "bestehorn-llmmanager": ["llmmanager"],
    "litellm": ["litellm", "litellm_mantle"],
    "langchain-aws": ["models.dev"],
    "genai-prices": ["genai-prices"],
    "pydantic-ai-slim": ["pydantic-ai"],
    "botocore": ["botocore"],
}
ASKED_AWS = SOURCE_NAMES["bestehorn-llmmanager"]
# Extended thinking began with Claude 3.7, prompt caching and citations with Claude 3.5 (October 2024): earlier models
# have these only by a rule for their whole family, so for them the answer is: not known.
BEFORE_CLAUDE_3_7 = re.compile(r"anthropic\.claude-(instant-v1|v\d.*|3-(?:5-)?(haiku|sonnet|opus)-.*)")
BEFORE_CLAUDE_3_5_V2 = re.compile(
    r"anthropic\.claude-(instant-v1|v\d.*|3-(haiku|sonnet|opus)-.*|3-5-sonnet-20240620-.*)"
)
REASONING = ("reasoning", "reasoning_request_shape", "reasoning_effort_levels")
CACHING = ("prompt_caching", "prompt_cache_ttls", "prompt_cache_min_tokens", "citations")


def main() -> int:
    """Write the bundle, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facts", type=Path, default=TOOLS / "catalog_facts.json")
    parser.add_argument("--names", type=Path, default=TOOLS / "catalog_names.json")
    parser.add_argument("--aws", type=Path, default=TOOLS / "catalog_aws.json")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    parser.add_argument("--ask-aws", action="store_true", help="write the --aws file anew")
    options = parser.parse_args()
    bundle = build(json.loads(options.facts.read_text()), json.loads(options.names.read_text()))
    if options.ask_aws:
        told = ask_aws(Catalog.from_dict(bundle))
        options.aws.write_text(json.dumps(told, sort_keys=True, indent=1) + "\n")
    if options.aws.exists():
        bundle = with_aws(bundle, json.loads(options.aws.read_text()))
    Catalog.from_dict(bundle)
    text = json.dumps(bundle, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
    if options.check:
        if BUNDLE.read_text() == text:
            return 0
        print(f"{BUNDLE.name} is not what the facts give. Run `make catalog`.", file=sys.stderr)
        return 1
    BUNDLE.write_text(text)
    print(f"{BUNDLE.name}: {len(bundle['models'])} models, {len(text):,} bytes, {bundle['checksum']}")
    return 0


def build(facts: dict[str, Any], curated: dict[str, Any]) -> dict[str, Any]:
    """Turn the facts into the document that `Catalog.from_dict` reads."""
    models = {model_id: entry(model_id, raw, curated) for model_id, raw in facts["models"].items()}
    drop_ambiguous_aliases(models)
    return {
        "schema_version": 1,
        "checksum": checksum_of(models),
        "generated_at": facts["generated_at"],
        "sources": [
            {"names": SOURCE_NAMES[source["package"]]}
            | {key: source[key] for key in ("package", "version", "license", "data_date", "origin") if key in source}
            for source in facts["sources"]
        ],
        "asked_regions": {
            SOURCE_NAMES[source["package"]][0]: source["regions"] for source in facts["sources"] if "regions" in source
        },
        "models": models,
    }


def ask_aws(catalog: Catalog, client_for: Callable[[str, str], Any] | None = None) -> dict[str, Any]:
    """Ask every commercial region, and return what differs from the catalog. Raises RuntimeError if none answers."""
    import boto3  # noqa: PLC0415 - only needed here

    from airflow_provider_bedrock_llm.aws.catalog_source import AwsCatalogSource  # noqa: PLC0415
    from airflow_provider_bedrock_llm.aws.region_discovery import bedrock_regions  # noqa: PLC0415

    lock = threading.Lock()

    def client_of_boto3(service: str, region: str) -> Any:
        with lock:
            return boto3.client(service, region_name=region)

    source = AwsCatalogSource(client_for or client_of_boto3, timeout_seconds=180)
    survey = source.survey(bedrock_regions())
    for region, failure in sorted(survey.failures.items()):
        print(f"{region} gave no models: {failure.code}: {failure.message}", file=sys.stderr)
    if not survey.answers:
        raise RuntimeError("AWS gave no models in any region. Give boto3 credentials that may list them.")
    system_defined = {
        region: RegionAnswer(answer.models, [told for told in answer.profiles if told["type"] == "SYSTEM_DEFINED"])
        for region, answer in survey.answers.items()
    }
    learned = learn(catalog, NOTHING_LEARNED, system_defined, {}, source.now())
    return {
        "retrieved_at": source.now().isoformat(timespec="seconds"),
        "regions": sorted(learned.regions),
        "listed": sorted({told["modelId"] for answer in survey.answers.values() for told in answer.models}),
        "models": learned.patch,
    }


def with_aws(bundle: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """Lay what AWS said over the facts, with AWS as the source."""
    models = copy.deepcopy(apply_patch(bundle["models"], told["models"]))
    for model_id, card in models.items():
        for profile in card.get("profiles", {}).values():
            profile["sources"] = ["aws" if source == ACCOUNT else source for source in profile["sources"]]
        card["direct_regions"] = dict.fromkeys(card.get("direct_regions", {}), "aws_api") | {
            region: source
            for region, source in card.get("direct_regions", {}).items()
            if source not in {ACCOUNT, "aws_api"}
        }
        sources = {source for source in card["sources"] if source != ACCOUNT}
        if model_id in told["listed"] or not sources:
            card |= {"sources": sorted({*sources, "aws"}), "confidence": "aws_api"}
    return bundle | {
        "models": models,
        "checksum": checksum_of(models),
        "generated_at": max(bundle["generated_at"], told["retrieved_at"]),
        "sources": [*bundle["sources"], {"names": ["aws"], "package": "AWS", "data_date": told["retrieved_at"]}],
        "asked_regions": bundle["asked_regions"] | {"aws": told["regions"]},
    }


def entry(model_id: str, raw: dict[str, Any], curated: dict[str, Any]) -> dict[str, Any]:
    """One model, in the catalog's schema."""
    card = {RENAMED.get(key, key): raw[key] for key in COPIED if key in raw}
    name = curated["names"].get(model_id, raw["name"])
    aliases = {*raw["aliases"], raw["name"], *curated["aliases"].get(model_id, ()), *claude_aliases(name)} - {name}
    card |= {"name": name, "aliases": sorted(aliases)}
    if capabilities := known_capabilities(model_id, raw.get("capabilities", {})):
        card["capabilities"] = capabilities
    else:
        card.pop("capabilities", None)
    card["direct_regions"] = {
        region: access["direct"] for region, access in raw.get("regions", {}).items() if "direct" in access
    }
    if not all(raw.get("regions", {}).values()):
        # It lists a region and no way to reach the model there (Titan V2 alone): what it does not list proves nothing.
        card |= {"sources": [name for name in raw["sources"] if name not in ASKED_AWS], "confidence": "single"}
    card["profiles"] = {
        profile_id: {"source_regions": profile["source_regions"], "sources": profile["confirmed_by"]}
        | ({"assumed": True} if profile["source_regions_assumed"] else {})
        for profile_id, profile in raw.get("inference_profiles", {}).items()
    }
    prices = {kind: value for kind, value in raw.get("pricing_usd_per_mtok", {}).items() if kind != "mantle"}
    if default := prices.get("default"):
        prices["default"] = {key: value for key, value in default.items() if key != "source"}
    card["prices"] = prices
    card["disputed_prices"] = sorted(
        sent for sent, verdict in raw.get("price_check", {}).items() if verdict == "differs"
    )
    return {key: value for key, value in card.items() if value not in ({}, [])}


def known_capabilities(model_id: str, capabilities: dict[str, Any]) -> dict[str, Any]:
    """Leave out what only a rule for the whole family says."""
    unknown: tuple[str, ...] = ()
    if BEFORE_CLAUDE_3_7.fullmatch(model_id):
        unknown += REASONING
    if BEFORE_CLAUDE_3_5_V2.fullmatch(model_id):
        unknown += CACHING
    return {name: value for name, value in capabilities.items() if name not in unknown}


def claude_aliases(name: str) -> list[str]:
    """`Claude Sonnet 4.5` is also written `Claude 4.5 Sonnet`, and `Claude 3 Haiku` is also `Claude Haiku 3`."""
    if split := re.fullmatch(r"Claude ([A-Z][a-z]+) (\d[\d.]*)", name):
        return [f"Claude {split[2]} {split[1]}"]
    if split := re.fullmatch(r"Claude (\d[\d.]*) ([A-Z][a-z]+)", name):
        return [f"Claude {split[2]} {split[1]}"]
    return []


def drop_ambiguous_aliases(models: dict[str, dict[str, Any]]) -> None:
    """An alias that two models share, or that is another model's name, says nothing."""
    owners: dict[str, set[str]] = {}
    for model_id, card in models.items():
        for known in (card["name"], *card.get("aliases", ())):
            owners.setdefault(normal_name(known), set()).add(model_id)
    for card in models.values():
        card["aliases"] = [alias for alias in card.get("aliases", ()) if len(owners[normal_name(alias)]) == 1]


if __name__ == "__main__":
    raise SystemExit(main())
