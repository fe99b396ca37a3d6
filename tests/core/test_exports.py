"""What a core module defines for others is what it lists, in order."""

import importlib
import inspect
import pkgutil

import pytest

import airflow_provider_bedrock_llm.core as package

NAMES = [f"{package.__name__}.{found.name}" for found in pkgutil.iter_modules(package.__path__)]


def in_order(name):
    """Constants, then classes, then the rest, as ruff sorts them."""
    return (not name.isupper(), name[0].islower(), name)


def test_there_are_modules_to_look_at():
    assert f"{package.__name__}.failover" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_all_is_sorted_and_real(name):
    module = importlib.import_module(name)
    assert list(module.__all__) == sorted(module.__all__, key=in_order)
    assert [export for export in module.__all__ if not hasattr(module, export)] == []


@pytest.mark.parametrize("name", NAMES)
def test_all_lists_every_public_class_and_function(name):
    module = importlib.import_module(name)
    defined = {
        found
        for found, value in vars(module).items()
        if not found.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == name
    }
    assert defined - set(module.__all__) == set()
