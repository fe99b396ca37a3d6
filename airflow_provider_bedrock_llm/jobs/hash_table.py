"""A table of 64-bit numbers that stays small with millions of entries.

A dict of a million such pairs takes about 190 MB, this about 30; that is what lets a job know every id and every
answer that it has at a fraction of its memory. Keys are the first 64 bits of a SHA-256 or BLAKE2 hash: among a
million records two different ones share a key with a probability of 3 in 100 million.
"""

from __future__ import annotations

import hashlib
from array import array

__all__ = ["HashTable", "hash_key"]

_SHARDS = 64
_FIRST_SLOTS = 16
_FULLEST = 0.75


def hash_key(*parts: str) -> int:
    """A key for a text, or for several in order."""
    digest = hashlib.blake2b("\x00".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


class _Shard:
    """One open-addressing table. Shards grow one at a time, so that growing needs little memory beside."""

    __slots__ = ("keys", "mask", "used", "values")

    def __init__(self, slots: int) -> None:
        self.keys = array("Q", bytes(8 * slots))
        self.values = array("Q", bytes(8 * slots))
        self.mask = slots - 1
        self.used = 0

    def slot_of(self, key: int) -> int:
        """Where the key is, or would go. 0 marks an empty slot."""
        keys, mask = self.keys, self.mask
        slot = (key >> 6) & mask
        found = keys[slot]
        while found and found != key:
            slot = (slot + 1) & mask
            found = keys[slot]
        return slot

    def grown(self) -> _Shard:
        bigger = _Shard(2 * (self.mask + 1))
        for key, value in zip(self.keys, self.values, strict=True):
            if key:
                slot = bigger.slot_of(key)
                bigger.keys[slot] = key
                bigger.values[slot] = value
        bigger.used = self.used
        return bigger


class HashTable:
    """Maps 64-bit keys to 64-bit values."""

    __slots__ = ("_shards",)

    def __init__(self) -> None:
        self._shards = [_Shard(_FIRST_SLOTS) for _ in range(_SHARDS)]

    def __len__(self) -> int:
        """How many keys it holds."""
        return sum(shard.used for shard in self._shards)

    def get(self, key: int) -> int | None:
        """The value of a key, None where it is not there."""
        key = key or 1
        shard = self._shards[key % _SHARDS]
        slot = shard.slot_of(key)
        return shard.values[slot] if shard.keys[slot] else None

    def put(self, key: int, value: int) -> None:
        """Set the value of a key."""
        key = key or 1
        number = key % _SHARDS
        shard = self._shards[number]
        slot = shard.slot_of(key)
        if not shard.keys[slot]:
            if shard.used >= _FULLEST * (shard.mask + 1):
                shard = self._shards[number] = shard.grown()
                slot = shard.slot_of(key)
            shard.keys[slot] = key
            shard.used += 1
        shard.values[slot] = value
