"""How each family of text embedding models is asked: what it takes, its request body, its reply.

Bodies and replies follow recordings of AWS (Titan v1 and v2, Cohere v3 and v4, Nova); the sizes that a model can be
asked for and Cohere's 96 texts a call are the vendors' documentation.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from airflow_provider_bedrock_llm.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["EmbeddingFamily", "EmbeddingSettings", "embedding_family"]

_TRUNCATIONS = ("NONE", "START", "END")
_INPUT_TYPES = ("search_document", "search_query", "classification", "clustering")
_COHERE_TEXTS = 96


@dataclass(frozen=True, slots=True)
class EmbeddingSettings:
    """What an embedding may be asked to be. None takes the family's default; not every family takes every setting.

    Args:
        dimensions: the length of the vectors.
        normalize: whether vectors have the length 1.
        input_type: what the vectors are for: `search_document`, `search_query`, `classification` or `clustering`. In
            Nova's own words (`embeddingPurpose`, such as `IMAGE_RETRIEVAL`) for Nova.
        truncate: what is cut off a text that is too long: `START`, `END`, or `NONE` for an error, the default.

    Raises:
        ConfigurationError: a value that no family takes.
    """

    dimensions: int | None = None
    normalize: bool | None = None
    input_type: str | None = None
    truncate: str | None = None

    def __post_init__(self) -> None:
        if not (self.dimensions is None or _is_count(self.dimensions)):
            raise ConfigurationError(f"dimensions={self.dimensions!r} is not a length. Give a whole number, or None.")
        if self.normalize not in {None, True, False}:
            raise ConfigurationError(f"normalize={self.normalize!r} is neither True nor False. Give one, or None.")
        if self.truncate is not None and self.truncate not in _TRUNCATIONS:
            raise ConfigurationError(
                f"truncate={self.truncate!r} is not known. Give one of {', '.join(_TRUNCATIONS)}, or None."
            )

    def to_dict(self) -> dict[str, Any]:
        """The settings that are given."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}


@dataclass(frozen=True, slots=True)
class EmbeddingFamily:
    """How one family of embedding models is asked.

    Args:
        name: for errors.
        prefixes: how the base ids of its models begin.
        default_dimensions: the length of the vectors where nothing is asked for.
        write: texts and settings -> the body of InvokeModel.
        read: the reply's body -> the vectors.
        dimensions: the lengths that can be asked for; none where there is only the default.
        input_types: our word -> the family's; none where it makes no difference to the family.
        default_input_type: in our words.
        takes: the settings that it takes, apart from these.
        max_texts: how many texts one call takes.
    """

    name: str
    prefixes: tuple[str, ...]
    default_dimensions: int
    write: Callable[[Sequence[str], EmbeddingSettings, EmbeddingFamily], dict[str, Any]]
    read: Callable[[Mapping[str, Any]], list[list[float]]]
    dimensions: tuple[int, ...] = ()
    input_types: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    default_input_type: str = ""
    takes: frozenset[str] = frozenset()
    max_texts: int = 1

    def check(self, settings: EmbeddingSettings) -> None:
        """Refuse what the family is known not to take, before anything is sent.

        Raises:
            ConfigurationError: it names the setting, its value, and what can be given.
        """
        size = settings.dimensions
        if size is not None and size not in (self.dimensions or (self.default_dimensions,)):
            sizes = ", ".join(map(str, self.dimensions or (self.default_dimensions,)))
            raise ConfigurationError(
                f"dimensions={size} cannot be had from {self.name}. Give one of {sizes}, or another model."
            )
        if settings.input_type is not None:
            self._check_input_type(settings.input_type)
        for name in ("normalize", "truncate"):
            value = getattr(settings, name)
            if value is not None and name not in self.takes:
                raise ConfigurationError(
                    f"{name}={value!r} is no setting of {self.name}. Leave it out, or choose another model."
                )

    def _check_input_type(self, input_type: str) -> None:
        if not self.input_types:
            raise ConfigurationError(
                f"input_type={input_type!r} is no setting of {self.name}, whose vectors are the same for every use. "
                "Leave it out."
            )
        if input_type not in self.input_types and input_type not in self.input_types.values():
            raise ConfigurationError(
                f"input_type={input_type!r} is not known to {self.name}. Give one of {', '.join(self.input_types)}."
            )

    def input_type(self, settings: EmbeddingSettings) -> str:
        """The family's word for what the vectors are for."""
        asked = settings.input_type or self.default_input_type
        return self.input_types.get(asked, asked)


def embedding_family(base_id: str) -> EmbeddingFamily:
    """How a model is asked for embeddings.

    Args:
        base_id: the base model's id, without a geo prefix.

    Raises:
        ConfigurationError: it is not an embedding model, or of a family that this package does not speak.
    """
    for family in _FAMILIES:
        if base_id.startswith(family.prefixes):
            return family
    known = "; ".join(f"{family.name} ({', '.join(family.prefixes)})" for family in _FAMILIES)
    raise ConfigurationError(f"{base_id!r} is of no known family of text embedding models. Known are: {known}.")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _given(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _write_titan(texts: Sequence[str], settings: EmbeddingSettings, family: EmbeddingFamily) -> dict[str, Any]:
    (text,) = texts
    if not family.dimensions:
        return {"inputText": text}
    return {"inputText": text} | _given(dimensions=settings.dimensions, normalize=settings.normalize)


def _read_titan(body: Mapping[str, Any]) -> list[list[float]]:
    return [body["embedding"]]


def _write_cohere(texts: Sequence[str], settings: EmbeddingSettings, family: EmbeddingFamily) -> dict[str, Any]:
    body = {
        "texts": list(texts),
        "input_type": family.input_type(settings),
        "truncate": settings.truncate or "NONE",
    }
    if not family.dimensions:
        return body
    return body | _given(embedding_types=["float"], output_dimension=settings.dimensions)


def _read_cohere(body: Mapping[str, Any]) -> list[list[float]]:
    embeddings = body["embeddings"]
    vectors: list[list[float]] = embeddings["float"] if isinstance(embeddings, dict) else embeddings
    return vectors


def _write_nova(texts: Sequence[str], settings: EmbeddingSettings, family: EmbeddingFamily) -> dict[str, Any]:
    (text,) = texts
    return {
        "taskType": "SINGLE_EMBEDDING",
        "singleEmbeddingParams": {
            "embeddingPurpose": family.input_type(settings),
            "text": {"value": text, "truncationMode": settings.truncate or "NONE"},
        }
        | _given(embeddingDimension=settings.dimensions),
    }


def _read_nova(body: Mapping[str, Any]) -> list[list[float]]:
    return [embedding["embedding"] for embedding in body["embeddings"]]


_COHERE_WORDS = MappingProxyType({name: name for name in _INPUT_TYPES})
_NOVA_WORDS = MappingProxyType(
    {
        "search_document": "GENERIC_INDEX",
        "search_query": "TEXT_RETRIEVAL",
        "classification": "CLASSIFICATION",
        "clustering": "CLUSTERING",
        "GENERIC_RETRIEVAL": "GENERIC_RETRIEVAL",
        "IMAGE_RETRIEVAL": "IMAGE_RETRIEVAL",
        "VIDEO_RETRIEVAL": "VIDEO_RETRIEVAL",
        "DOCUMENT_RETRIEVAL": "DOCUMENT_RETRIEVAL",
        "AUDIO_RETRIEVAL": "AUDIO_RETRIEVAL",
    }
)

_FAMILIES = (
    EmbeddingFamily(
        "Titan Text Embeddings V2",
        ("amazon.titan-embed-text-v2",),
        1024,
        _write_titan,
        _read_titan,
        dimensions=(256, 512, 1024),
        takes=frozenset({"normalize"}),
    ),
    EmbeddingFamily(
        "Titan Embeddings G1",
        ("amazon.titan-embed-text-v1", "amazon.titan-embed-g1-text"),
        1536,
        _write_titan,
        _read_titan,
    ),
    EmbeddingFamily(
        "Cohere Embed v3",
        ("cohere.embed-english-v3", "cohere.embed-multilingual-v3"),
        1024,
        _write_cohere,
        _read_cohere,
        input_types=_COHERE_WORDS,
        default_input_type="search_document",
        takes=frozenset({"truncate"}),
        max_texts=_COHERE_TEXTS,
    ),
    EmbeddingFamily(
        "Cohere Embed v4",
        ("cohere.embed-v4",),
        1536,
        _write_cohere,
        _read_cohere,
        dimensions=(256, 512, 1024, 1536),
        input_types=_COHERE_WORDS,
        default_input_type="search_document",
        takes=frozenset({"truncate"}),
        max_texts=_COHERE_TEXTS,
    ),
    EmbeddingFamily(
        "Nova Multimodal Embeddings",
        ("amazon.nova-2-multimodal-embeddings",),
        3072,
        _write_nova,
        _read_nova,
        dimensions=(256, 384, 1024, 3072),
        input_types=_NOVA_WORDS,
        default_input_type="search_document",
        takes=frozenset({"truncate"}),
    ),
)
