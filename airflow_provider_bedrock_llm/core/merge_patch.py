"""JSON Merge Patch (RFC 7386): the difference of two JSON objects, as an object. None means: take this out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["apply_patch", "make_patch"]


def apply_patch(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return target with patch applied; target stays as it is, and untouched members are shared with it."""
    merged = dict(target)
    for key, change in patch.items():
        if change is None:
            merged.pop(key, None)
        elif isinstance(change, dict):
            before = merged.get(key)
            merged[key] = apply_patch(before if isinstance(before, dict) else {}, change)
        else:
            merged[key] = change
    return merged


def make_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the smallest patch that turns before into after. Neither may hold None, which a patch cannot say."""
    patch: dict[str, Any] = dict.fromkeys(before.keys() - after.keys())
    for key, value in after.items():
        old = before.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            if change := make_patch(old, value):
                patch[key] = change
        elif old != value:
            patch[key] = value
    return patch
