"""A signature opens one door, once (promise P14): for which method it was accepted, as far as this gateway knows.

The store knows it for all gateways (`engine.journal.marks`) and has the last word. What is kept here saves a round trip, and
answers copies that come to the same gateway before they cost the store anything.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from engine.journal import Mark, mark_key
from engine.reasons import Reason
from gateway.auth.keys import Key
from gateway.dialect.rejects import Rejected
from gateway.limits import CLOCK_DIFFERENCE_MS_MAX, SIGNATURES_KEPT_MAX, SIGNATURES_KEPT_PER_KEY_MAX


class SignedUse(NamedTuple):
    """What a signature that verifies is used for."""

    key_id: str
    mark: Mark
    expires_ms: int
    """When the window of the request ends, after which no gateway accepts the signature."""


def use_of(key: Key, signature: str, method: str, expires_ms: int, now_ms: int) -> SignedUse:
    """The use of a signature of `key`, which verifies, for a method. Its mark outlives the signature, also by the clock of
    another gateway. Cost: 2 µs."""
    lifetime_ms = expires_ms - now_ms + CLOCK_DIFFERENCE_MS_MAX
    return SignedUse(key.id, Mark(mark_key(key.id, key.signature_bytes(signature)), method, lifetime_ms), expires_ms)


def refusal_of(use: SignedUse) -> Reason:
    """Why a signature that was used before is refused: a copied order has an answer that clients know."""
    return Reason.REPLAYED_REQUEST if use.mark.method == "order.place" else Reason.SIGNATURE_USED


class ReplayGuard:
    """Remembers for which method signatures were accepted, each until its window ends.

    Bounded: a key has a share, and what is too much pushes out the oldest of the same key; with too many keys, the oldest of
    the key that has signed nothing for longest. Nothing is refused for want of room, because the store judges what is not
    known here. So no key can lock out another.
    """

    def __init__(self, size_max: int = SIGNATURES_KEPT_MAX, share_max: int = SIGNATURES_KEPT_PER_KEY_MAX) -> None:
        self._size_max = size_max
        self._share_max = share_max
        self._size = 0
        self._kept: OrderedDict[str, dict[str, tuple[str, int]]] = OrderedDict()
        """Key id → mark → method and when its window ends, oldest first; the key that signed last comes last."""

    def is_known(self, use: SignedUse, *, repeats: bool) -> bool:
        """Whether the signature was accepted here for this method, which may be asked again; False: ask the store.

        Args:
            repeats: whether the method only reads, so that the same request again is the same question.

        Raises:
            Rejected: it was accepted for another method, or for one that opens something.
        """
        found = self._kept.get(use.key_id, _NOTHING).get(use.mark.key)
        if found is None:
            return False
        if repeats and found[0] == use.mark.method:
            return True
        raise Rejected(refusal_of(use))

    def check_answer(self, use: SignedUse, method: str | None, *, repeats: bool) -> None:
        """Judges what the store has answered: for which method the signature was accepted before; None for the first time.
        Notes it.

        Raises:
            Rejected: as `is_known`.
        """
        self._note(use, use.mark.method if method is None else method)
        if method is not None and not (repeats and method == use.mark.method):
            raise Rejected(refusal_of(use))

    def admit(self, use: SignedUse, now_ms: int) -> None:
        """Notes the signature of a command, which the store judges when it takes the command.

        Raises:
            Rejected: the signature was accepted here before.
        """
        self._drop_ended(use.key_id, now_ms)
        self.is_known(use, repeats=False)
        self._note(use, use.mark.method)

    def forget(self, use: SignedUse) -> None:
        """The request was refused before the store has set its mark: its sender may send it again."""
        kept = self._kept.get(use.key_id, _NOTHING)
        if use.mark.key in kept:
            self._drop(use.key_id, use.mark.key)

    def _note(self, use: SignedUse, method: str) -> None:
        key_id, mark = use.key_id, use.mark.key
        kept = self._kept.setdefault(key_id, {})
        self._size += mark not in kept
        kept[mark] = method, use.expires_ms
        self._kept.move_to_end(key_id)
        if len(kept) > self._share_max:
            self._drop(key_id, next(iter(kept)))
        elif self._size > self._size_max:
            quietest, kept = next(iter(self._kept.items()))
            self._drop(quietest, next(iter(kept)))

    def _drop_ended(self, key_id: str, now_ms: int) -> None:
        """Lets go of the oldest of a key, as long as their windows have ended."""
        while kept := self._kept.get(key_id):
            oldest, (_, expires_ms) = next(iter(kept.items()))
            if expires_ms >= now_ms:
                return
            self._drop(key_id, oldest)

    def _drop(self, key_id: str, mark: str) -> None:
        kept = self._kept[key_id]
        del kept[mark]
        self._size -= 1
        if not kept:
            del self._kept[key_id]


_NOTHING: dict[str, tuple[str, int]] = {}
