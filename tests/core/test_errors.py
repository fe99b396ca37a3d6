"""The error tree says what a person needs at three in the morning, and survives a trip between processes."""

import copy
import inspect
import pickle
from types import SimpleNamespace

import pytest

from airflow_provider_bedrock_llm.core import errors
from airflow_provider_bedrock_llm.core.errors import (
    ConfigurationError,
    LLMManagerError,
    ParallelConfigurationError,
    ParallelExecutionError,
    ParallelProcessingError,
    RequestTimeoutError,
    RequestValidationError,
    RetryExhaustedError,
    StreamingError,
    UnknownModelError,
)

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, LLMManagerError)]


def make(kind):
    return kind("a-model", ["b-model"]) if kind is UnknownModelError else kind("It broke. Mend it.")


def drawn_tree():
    """(class, parent as drawn) for every line of the outline in the module's docstring."""
    above: dict[int, str] = {}
    for line in errors.__doc__.splitlines():
        name = line.split()[0] if line.split() else ""
        depth = len(line) - len(line.lstrip())
        if depth >= 4 and hasattr(errors, name):
            above[depth] = name
            yield name, above.get(depth - 2)


def test_the_drawn_tree_is_the_real_tree():
    drawn = dict(drawn_tree())
    assert set(drawn) == {kind.__name__ for kind in CLASSES}
    for name, parent in drawn.items():
        if parent is not None:
            assert issubclass(getattr(errors, name), getattr(errors, parent)), f"{name} under {parent}"


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_answers_whether_a_retry_helps_and_whether_it_may_have_cost(kind):
    error = make(kind)
    assert isinstance(error.retry_helps, bool)
    assert isinstance(error.may_have_cost, bool)
    assert kind.__doc__


@pytest.mark.parametrize("duplicate", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))], ids=["copy", "pickle"])
@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_crosses_processes_whole(kind, duplicate):
    error = make(kind)
    error.aws_code, error.request_id, error.may_have_cost = "ThrottlingException", "r-1", True
    twin = duplicate(error)
    assert type(twin) is kind
    assert (str(twin), repr(twin)) == (str(error), repr(error))
    assert vars(twin) == vars(error)


def test_the_text_ends_with_what_aws_said_and_the_request_id():
    error = LLMManagerError(
        "It broke. Mend it.", aws_code="ValidationException", aws_message="no such thing", request_id="r-1"
    )
    assert str(error) == "It broke. Mend it. AWS said: ValidationException (no such thing). Request id: r-1."


def test_without_aws_the_text_is_the_message_alone():
    assert str(LLMManagerError("It broke. Mend it.")) == "It broke. Mend it."


def test_may_have_cost_of_one_error_does_not_change_its_class():
    assert LLMManagerError("x", may_have_cost=True).may_have_cost
    assert not LLMManagerError("x").may_have_cost
    assert not RequestTimeoutError("x", may_have_cost=False).may_have_cost
    assert RequestTimeoutError("x").may_have_cost


def test_what_was_generated_before_a_stream_broke_may_cost():
    assert StreamingError("x").may_have_cost


def test_an_unknown_model_names_itself_and_what_is_near():
    error = UnknownModelError("claud", ["claude-a", "claude-b"])
    assert str(error) == "The model 'claud' is not known. Did you mean 'claude-a', 'claude-b'?"
    assert (error.name, error.suggestions) == ("claud", ("claude-a", "claude-b"))
    assert "airflow bedrock-llm models" in str(UnknownModelError("claud"))


def test_a_validation_error_always_lists_its_faults():
    assert RequestValidationError("x", validation_errors=["a", "b"]).validation_errors == ("a", "b")
    assert RequestValidationError("x").validation_errors == ("x",)


def test_exhausted_retries_say_where_the_request_went():
    tried = [("m1", "us-east-1", "boom"), ("m1", "eu-west-1", None), ("m2", "us-east-1", "bang")]
    attempts = [SimpleNamespace(model_used=m, region_used=r, failure=f) for m, r, f in tried]
    error = RetryExhaustedError("x", attempts=attempts)
    assert error.attempts_made == 3
    assert error.models_tried == ["m1", "m2"]
    assert error.regions_tried == ["us-east-1", "eu-west-1"]
    assert error.last_errors == ["boom", "bang"]


def test_a_parallel_configuration_error_is_caught_as_either():
    error = ParallelConfigurationError("x")
    assert isinstance(error, ConfigurationError)
    assert isinstance(error, ParallelProcessingError)


def test_a_stopped_run_hands_over_what_was_done():
    done = object()
    assert ParallelExecutionError("x", response=done).response is done
