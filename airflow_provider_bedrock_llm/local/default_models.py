"""A dozen well-known models that exist in every region: what the endpoint has when it is given nothing else.

Ids, profiles and limits follow AWS's (as of November 2026); the regions do not, so that a demo works anywhere.
"""

from __future__ import annotations

from .models import LocalModel, geo_profiles

__all__ = ["default_models"]

_PICTURES = ("TEXT", "IMAGE")


def default_models() -> list[LocalModel]:
    """Fresh values of the built-in models."""
    return [*_claude(), *_nova(), *_open_weights(), *_embeddings()]


def _claude() -> list[LocalModel]:
    haiku, sonnet = "anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic.claude-sonnet-4-5-20250929-v1:0"
    old_haiku = "anthropic.claude-3-haiku-20240307-v1:0"
    sonnet_4 = "anthropic.claude-sonnet-4-20250514-v1:0"

    def profile_only(model_id: str, name: str, cache_min_tokens: int, *geos: str) -> LocalModel:
        return LocalModel(
            model_id,
            name,
            profiles=geo_profiles(model_id, *geos),
            on_demand=False,
            prompt_caching=True,
            prompt_cache_min_tokens=cache_min_tokens,
            count_tokens=True,
            temperature_or_top_p="4-5" in model_id,
            input_modalities=_PICTURES,
            max_output_tokens=64_000,
            output_burndown=5.0,
        )

    return [
        profile_only(haiku, "Claude Haiku 4.5", 4096, "us", "eu", "apac", "jp", "au", "ca", "global"),
        profile_only(sonnet, "Claude Sonnet 4.5", 1024, "us", "eu", "apac", "jp", "au", "ca", "global"),
        profile_only(sonnet_4, "Claude Sonnet 4", 1024, "us", "eu", "apac", "global"),
        LocalModel(
            old_haiku,
            "Claude 3 Haiku",
            profiles=geo_profiles(old_haiku, "us", "eu", "apac"),
            count_tokens=True,
            structured_output=False,
            input_modalities=_PICTURES,
        ),
    ]


def _nova() -> list[LocalModel]:
    kinds = (
        ("micro", 128_000, ("TEXT",)),
        ("lite", 300_000, ("TEXT", "IMAGE", "VIDEO")),
        ("pro", 300_000, ("TEXT", "IMAGE", "VIDEO")),
    )
    return [
        LocalModel(
            f"amazon.nova-{kind}-v1:0",
            f"Nova {kind.capitalize()}",
            profiles=geo_profiles(f"amazon.nova-{kind}-v1:0", "us", "eu", "apac", "ca"),
            prompt_caching=True,
            input_modalities=modalities,
            context_window_tokens=context,
            max_output_tokens=10_000,
        )
        for kind, context, modalities in kinds
    ]


def _open_weights() -> list[LocalModel]:
    llama_3, llama_33 = "meta.llama3-1-8b-instruct-v1:0", "meta.llama3-3-70b-instruct-v1:0"
    return [
        LocalModel(
            llama_3,
            "Llama 3.1 8B Instruct",
            profiles=geo_profiles(llama_3, "us"),
            context_window_tokens=128_000,
            max_output_tokens=8_192,
        ),
        LocalModel(
            llama_33,
            "Llama 3.3 70B Instruct",
            profiles=geo_profiles(llama_33, "us"),
            on_demand=False,
            context_window_tokens=128_000,
            max_output_tokens=8_192,
        ),
        LocalModel(
            "mistral.mistral-large-2407-v1:0",
            "Mistral Large (24.07)",
            context_window_tokens=128_000,
            max_output_tokens=8_192,
        ),
        LocalModel(
            "mistral.mistral-7b-instruct-v0:2",
            "Mistral 7B Instruct",
            tools=False,
            system=False,
            context_window_tokens=32_000,
            max_output_tokens=8_192,
        ),
        LocalModel("openai.gpt-oss-20b-1:0", "gpt-oss-20b", context_window_tokens=128_000, max_output_tokens=128_000),
    ]


def _embeddings() -> list[LocalModel]:
    kinds = (
        ("amazon.titan-embed-text-v1", "Titan Embeddings G1 - Text", "titan_v1", 8_192),
        ("amazon.titan-embed-text-v2:0", "Titan Text Embeddings V2", "titan_v2", 8_192),
        ("cohere.embed-english-v3", "Embed English", "cohere_v3", 512),
        ("cohere.embed-multilingual-v3", "Embed Multilingual", "cohere_v3", 512),
        ("cohere.embed-v4:0", "Embed v4", "cohere_v4", 128_000),
        ("amazon.nova-2-multimodal-embeddings-v1:0", "Nova Multimodal Embeddings", "nova", 8_172),
    )
    return [
        LocalModel(
            model_id,
            name,
            profiles=geo_profiles(model_id, "us", "eu", "global") if embedding == "cohere_v4" else {},
            streaming=False,
            tools=False,
            system=False,
            structured_output=False,
            context_window_tokens=context,
            embedding=embedding,
        )
        for model_id, name, embedding, context in kinds
    ]
