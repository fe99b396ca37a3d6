"""A table of 64-bit numbers that stays small with millions of entries.

A dict of a million such pairs takes about 190 MB, this 21 to 26; that is what lets a job know every id and every
answer that it has at a fraction of the memory. Keys are the first 64 bits of a SHA-256 or BLAKE2 hash: among a
million records two different ones share a key with a probability of 3 in 100 million.
"""

from __future__ import annotations

import hashlib
from array import array

__all__ = ["HashSet", "HashTable", "hash_key"]

_SHARDS = 64
_FIRST_SLOTS = 17
_FULLEST = 0.8
_ROOM = 1.03
"""Shards differ a little in how many of the expected keys they get."""

_GROWTH = 1.3
"""Little at a time: a table that doubles is half empty on average, and memory is what it is there to save."""


def hash_key(*parts: str) -> int:
    """A key for a text, or for several in order."""
    digest = hashlib.blake2b("\x00".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


class _Shard:
    """One open-addressing table. Shards grow one at a time, so that growing needs little memory beside."""

    __slots__ = ("keys", "limit", "slots", "used", "values")

    def __init__(self, slots: int, *, holds_values: bool) -> None:
        self.keys = array("Q", bytes(8 * slots))
        self.values = array("Q", bytes(8 * slots)) if holds_values else None
        self.slots = slots
        self.limit = int(_FULLEST * slots)
        self.used = 0

    def slot_of(self, key: int) -> int:
        """Where the key is, or would go. 0 marks an empty slot."""
        keys, slots = self.keys, self.slots
        slot = (key >> 6) % slots
        found = keys[slot]
        while found and found != key:
            slot += 1
            if slot == slots:
                slot = 0
            found = keys[slot]
        return slot

    def grown(self) -> _Shard:
        bigger = _Shard(int(_GROWTH * self.slots) + 1, holds_values=self.values is not None)
        for old, key in enumerate(self.keys):
            if key:
                slot = bigger.slot_of(key)
                bigger.keys[slot] = key
                if self.values is not None and bigger.values is not None:
                    bigger.values[slot] = self.values[old]
        bigger.used = self.used
        return bigger


class _Shards:
    """What a table and a set have in common."""

    __slots__ = ("_shards",)

    def __init__(self, expected: int, *, holds_values: bool) -> None:
        slots = max(_FIRST_SLOTS, int(_ROOM * expected / _SHARDS / _FULLEST))
        self._shards = [_Shard(slots, holds_values=holds_values) for _ in range(_SHARDS)]

    def __len__(self) -> int:
        """How many keys it holds."""
        return sum(shard.used for shard in self._shards)

    def _insert(self, key: int) -> tuple[_Shard, int, bool]:
        """The key's shard and slot, and whether it is new there."""
        number = key % _SHARDS
        shard = self._shards[number]
        slot = shard.slot_of(key)
        if shard.keys[slot]:
            return shard, slot, False
        if shard.used >= shard.limit:
            shard = self._shards[number] = shard.grown()
            slot = shard.slot_of(key)
        shard.keys[slot] = key
        shard.used += 1
        return shard, slot, True


class HashTable(_Shards):
    """Maps 64-bit keys to 64-bit values.

    Args:
        expected: how many keys there will be, where that is known: it spares growing.
    """

    __slots__ = ()

    def __init__(self, expected: int = 0) -> None:
        super().__init__(expected, holds_values=True)

    def get(self, key: int) -> int | None:
        """The value of a key, None where it is not there."""
        key = key or 1
        shard = self._shards[key % _SHARDS]
        slot = shard.slot_of(key)
        return shard.values[slot] if shard.values is not None and shard.keys[slot] else None

    def put(self, key: int, value: int) -> None:
        """Set the value of a key."""
        shard, slot, _ = self._insert(key or 1)
        if shard.values is not None:
            shard.values[slot] = value


class HashSet(_Shards):
    """Knows which 64-bit keys it has seen, in half the memory."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(0, holds_values=False)

    def add(self, key: int) -> bool:
        """Note a key.

        Returns:
            Whether it is new.
        """
        return self._insert(key or 1)[2]
