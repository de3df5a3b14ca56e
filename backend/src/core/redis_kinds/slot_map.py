"""Which server of a Redis Cluster has which slot, as ``CLUSTER SLOTS`` says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.crc import REDIS_CLUSTER_HASH_SLOTS

from core.redis_kinds.place import Address


@dataclass(frozen=True, slots=True)
class Shard:
    """A primary and the servers that can take its place."""

    primary: Address
    replicas: frozenset[Address]
    slots: int
    """How many slots it has."""


class SlotMap:
    """The owner of each slot."""

    def __init__(self, ranges: Sequence[tuple[int, int, Address, frozenset[Address]]]) -> None:
        """Take the ranges: the first and the last slot, the primary, its replicas."""
        self._owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        replicas: dict[Address, set[Address]] = {}
        for first, last, primary, others in ranges:
            self._owners[first : last + 1] = [primary] * (last + 1 - first)
            replicas.setdefault(primary, set()).update(others)
        self._replicas = replicas

    def owner(self, slot: int) -> Address | None:
        """Return the server that has a slot; ``None`` for a slot that no server has."""
        return self._owners[slot]

    def move(self, slot: int, owner: Address) -> None:
        """Note that a slot has another owner, as a server has just said."""
        self._owners[slot] = owner
        self._replicas.setdefault(owner, set())

    @property
    def primaries(self) -> frozenset[Address]:
        return frozenset(owner for owner in self._owners if owner is not None)

    @property
    def is_complete(self) -> bool:
        """Whether every slot has an owner."""
        return None not in self._owners

    def shards(self) -> list[Shard]:
        """Return the shards, in the order of their slots."""
        counts: dict[Address, int] = {}
        for owner in self._owners:
            if owner is not None:
                counts[owner] = counts.get(owner, 0) + 1
        return [
            Shard(primary, frozenset(self._replicas.get(primary, ())), count)
            for primary, count in counts.items()
        ]

    def risen(self, before: SlotMap) -> list[Address]:
        """Return the primaries that were replicas in an earlier map."""
        return [
            replica for shard in before.shards() for replica in shard.replicas if replica in self.primaries
        ]

    def agrees(self, other: SlotMap) -> bool:
        """Whether each slot has the same owner in another map."""
        return self._owners == other._owners


def read_slots(reply: Sequence[Any], asked: Address) -> SlotMap:
    """Read a reply of ``CLUSTER SLOTS``.

    Args:
        reply: Rows of first slot, last slot, primary, replicas.
        asked: Who said so. A server that does not know its own name leaves it out.

    Raises:
        ValueError: It is no such reply.
    """
    try:
        return SlotMap(
            [
                (
                    int(first),
                    int(last),
                    _address(primary, asked),
                    frozenset(_address(replica, asked) for replica in replicas),
                )
                for first, last, primary, *replicas in reply
            ]
        )
    except (TypeError, ValueError, IndexError) as exc:
        raise ValueError("the reply to CLUSTER SLOTS cannot be read") from exc


def _address(node: Sequence[Any], asked: Address) -> Address:
    host = node[0]
    name = host.decode() if isinstance(host, bytes) else str(host or "")
    return (asked[0] if name in {"", "?"} else name, int(node[1]))
