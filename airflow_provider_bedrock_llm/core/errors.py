"""Every error that this package raises.

    LLMManagerError
      ConfigurationError              a setting is wrong; nothing was sent
        UnknownModelError             a model name that neither the catalog nor the id format knows
      AuthenticationError             no credentials, wrong ones, or expired ones that could not be refreshed
      ModelAccessError                the account may not use the model, or no asked region has it
      RequestValidationError          the request is malformed; Bedrock refuses it, or would
        ContextTooLongError           prompt and maxTokens do not fit the model
        ContentError                  an image, document, video or audio block breaks a limit of the API
      QuotaExhaustedError             the quota of the day is used up on every route
      RetryExhaustedError             every attempt failed for causes that may pass
        RequestTimeoutError           the last cause was time; the model may have worked and billed
      ResponseValidationError         an answer came and was paid for, and was rejected each time
      StreamingError                  a stream broke after it had begun
      ToolLimitError                  a round trip with tools met its limit of turns or cost
      CatalogError
        CatalogUnavailableError       no step of the waterfall gave a catalog
      ParallelProcessingError
        ParallelConfigurationError    also a ConfigurationError
        ParallelExecutionError        a failure policy stopped the run; what was done is attached
      JobError                        an enrichment job cannot go on; results already kept stay kept
        SourceError                   the input is missing, empty or malformed
        TemplateError                 a template does not fit the records
        OutputError                   work_dir or the output cannot be written
        LeaseLostError                another runner owns the job now; this one stops without a word
        JobStoppedError               the failure policy or a person ended the job
          BudgetExceededError         its budget is spent

Two questions decide what happens at three in the morning, and each error answers both: `retry_helps` (would the
same task, run again unchanged, have a chance?) and `may_have_cost` (may AWS bill for what failed?).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "AuthenticationError",
    "BudgetExceededError",
    "CatalogError",
    "CatalogUnavailableError",
    "ConfigurationError",
    "ContentError",
    "ContextTooLongError",
    "JobError",
    "JobStoppedError",
    "LLMManagerError",
    "LeaseLostError",
    "ModelAccessError",
    "OutputError",
    "ParallelConfigurationError",
    "ParallelExecutionError",
    "ParallelProcessingError",
    "QuotaExhaustedError",
    "RequestTimeoutError",
    "RequestValidationError",
    "ResponseValidationError",
    "RetryExhaustedError",
    "SourceError",
    "StreamingError",
    "TemplateError",
    "ToolLimitError",
    "UnknownModelError",
]


class LLMManagerError(Exception):
    """The root: catch this to catch everything that the package raises on purpose.

    Args:
        message: cause and remedy in two sentences.
        aws_code: the error code that AWS gave, such as `ThrottlingException`.
        aws_message: the text that AWS gave, unchanged.
        request_id: the request id that AWS support asks for.
        may_have_cost: set where it differs from the class: may AWS bill for what failed?
        attempts: every attempt that was made (`RequestAttempt`), oldest first.
        said_by: whose code, text and request id these are, where a service other than AWS was asked.
    """

    retry_helps: ClassVar[bool] = False
    may_have_cost: bool = False
    said_by: str = "AWS"

    def __init__(
        self,
        message: str,
        *,
        aws_code: str | None = None,
        aws_message: str | None = None,
        request_id: str | None = None,
        may_have_cost: bool | None = None,
        attempts: Sequence[Any] = (),
        said_by: str | None = None,
    ) -> None:
        super().__init__(message)
        if said_by is not None:
            self.said_by = said_by
        self.message = message
        self.aws_code = aws_code
        self.aws_message = aws_message
        self.request_id = request_id
        self.attempts = tuple(attempts)
        if may_have_cost is not None:
            self.may_have_cost = may_have_cost

    def __str__(self) -> str:
        """Add what AWS said, so that a log line is enough to ask AWS support with."""
        aws = " ".join(part for part in (self.aws_code, f"({self.aws_message})" if self.aws_message else "") if part)
        said = f" {self.said_by} said: {aws}." if aws else ""
        asked = f" Request id: {self.request_id}." if self.request_id else ""
        return f"{self.message}{said}{asked}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe: class, text, what AWS said. Attempts and attached objects are not in it."""
        return {
            "type": type(self).__name__,
            "message": self.message,
            "aws_code": self.aws_code,
            "aws_message": self.aws_message,
            "request_id": self.request_id,
            "may_have_cost": self.may_have_cost,
            **({"said_by": self.said_by} if self.said_by != LLMManagerError.said_by else {}),
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> LLMManagerError:
        """The reverse of `to_dict`; an error of an unknown class comes back as the root."""
        context = dict(data)
        name, message = context.pop("type"), context.pop("message")
        kind = _class_named(name)
        return kind(message, **context)


class ConfigurationError(LLMManagerError):
    """A setting is wrong. Nothing was sent and nothing was paid."""


class UnknownModelError(ConfigurationError):
    """A model name that is neither an id, nor an ARN, nor a name or alias of the catalog.

    Args:
        name: the name as it was given.
        suggestions: the nearest known names, best first.
    """

    def __init__(self, name: str, suggestions: Sequence[str] = ()) -> None:
        self.name = name
        self.suggestions = tuple(suggestions)
        nearest = ", ".join(repr(suggestion) for suggestion in self.suggestions)
        remedy = (
            f"Did you mean {nearest}?"
            if nearest
            else "Give a model id, an inference profile id, an ARN, or a name that `airflow bedrock-llm models` lists."
        )
        super().__init__(f"The model {name!r} is not known. {remedy}")
        self.args = (name, self.suggestions)  # copy and pickle make the twin from args


class AuthenticationError(LLMManagerError):
    """AWS does not know who is asking, or no longer does."""


class ModelAccessError(LLMManagerError):
    """The account, the role or the region does not give access to the model."""


class RequestValidationError(LLMManagerError):
    """The request is malformed: the same request fails again.

    Args:
        validation_errors: every fault that was found, one sentence each.
    """

    def __init__(self, message: str, *, validation_errors: Sequence[str] = (), **context: Any) -> None:
        super().__init__(message, **context)
        self.validation_errors = tuple(validation_errors) or (message,)


class ContextTooLongError(RequestValidationError):
    """The prompt, or the prompt with maxTokens, does not fit into the model's context."""


class ContentError(RequestValidationError):
    """A content block breaks a limit of the Converse API, or is not what it claims to be."""


class QuotaExhaustedError(LLMManagerError):
    """The account's quota for the day is used up: waiting seconds or minutes does not help."""


class RetryExhaustedError(LLMManagerError):
    """All attempts failed for causes that may pass. A later run of the task may succeed."""

    retry_helps = True

    @property
    def attempts_made(self) -> int:
        """How many calls were made."""
        return len(self.attempts)

    @property
    def models_tried(self) -> list[str]:
        """The model ids that were sent, each once, in order."""
        return list(dict.fromkeys(attempt.model_used for attempt in self.attempts))

    @property
    def regions_tried(self) -> list[str]:
        """The regions that were called, each once, in order."""
        return list(dict.fromkeys(attempt.region_used for attempt in self.attempts))

    @property
    def last_errors(self) -> list[str]:
        """What each attempt answered, oldest first."""
        return [str(attempt.failure) for attempt in self.attempts if attempt.failure is not None]


class RequestTimeoutError(RetryExhaustedError):
    """No answer in time. Bedrock may have finished the work, and bills it if so."""

    may_have_cost = True


class ResponseValidationError(LLMManagerError):
    """Answers came, and were paid for, and each was rejected by the schema or the validation function."""

    retry_helps = True
    may_have_cost = True


class StreamingError(LLMManagerError):
    """A stream broke after it had begun; what was generated until then is billed."""

    retry_helps = True
    may_have_cost = True


class ToolLimitError(LLMManagerError):
    """A round trip with tools met its limit of turns or of cost before the model was done.

    Args:
        run: the `ToolRun` with everything that was said and done until then.
    """

    may_have_cost = True

    def __init__(self, message: str, *, run: Any = None, **context: Any) -> None:
        super().__init__(message, **context)
        self.run = run


class CatalogError(LLMManagerError):
    """Something about the model catalog."""


class CatalogUnavailableError(CatalogError):
    """No step of the waterfall gave a catalog; the message says what each step answered."""

    retry_helps = True


class ParallelProcessingError(LLMManagerError):
    """Something about many requests at once."""


class ParallelConfigurationError(ParallelProcessingError, ConfigurationError):
    """A setting of the parallel execution is wrong."""


class ParallelExecutionError(ParallelProcessingError):
    """A failure policy stopped the run.

    Args:
        response: the `ParallelResponse` with everything that was done until then.
    """

    retry_helps = True
    may_have_cost = True

    def __init__(self, message: str, *, response: Any = None, **context: Any) -> None:
        super().__init__(message, **context)
        self.response = response


class JobError(LLMManagerError):
    """An enrichment job cannot go on. Results that were kept stay kept."""


class SourceError(JobError):
    """The input is missing, empty or malformed; the message says where."""


class TemplateError(JobError):
    """A template does not fit the records."""


class OutputError(JobError):
    """The work_dir or the output cannot be written."""

    retry_helps = True


class LeaseLostError(JobError):
    """Another runner holds the job now. This one stops, and its results of before stay valid."""

    retry_helps = True


class JobStoppedError(JobError):
    """The failure policy or a person ended the job; a later run goes on where it stopped."""

    retry_helps = True
    may_have_cost = True


class BudgetExceededError(JobStoppedError):
    """The job's budget is spent; what was answered is kept, and a later run with a larger one pays for the rest."""

    retry_helps = False


def _class_named(name: str) -> type[LLMManagerError]:
    if name == UnknownModelError.__name__:  # it makes its text from the name of the model
        return ConfigurationError
    kind = globals().get(name)
    return kind if isinstance(kind, type) and issubclass(kind, LLMManagerError) else LLMManagerError
