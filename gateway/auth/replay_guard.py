"""A signature opens one door, once (promise P14): for which method it was accepted, as far as this gateway knows.

The store knows it for all gateways (`engine.journal.marks`) and has the last word. What is kept here saves a round trip, and
answers copies that come to the same gateway before they cost the store anything.
"""

from __future__ import annotations

from collections import OrderedDict

from engine.journal import Mark, mark_name
from engine.reasons import Reason
from gateway.auth.keys import Key
from gateway.dialect.rejects import Rejected
from gateway.limits import CLOCK_DIFFERENCE_MS_MAX, SIGNATURES_KEPT_MAX, SIGNATURES_KEPT_PER_KEY_MAX


def mark_of(key: Key, signature: str, method: str, expires_ms: int, now_ms: int) -> Mark:
    """What a signature of `key`, which verifies, leaves behind when it is accepted for a method. The mark outlives the
    signature, also by the clock of another gateway. Cost: 2 µs."""
    lifetime_ms = expires_ms - now_ms + CLOCK_DIFFERENCE_MS_MAX
    return Mark(key.id, mark_name(key.id, key.signature_bytes(signature)), method, lifetime_ms)


def refusal_of(mark: Mark) -> Reason:
    """Why a signature that was used before is refused: a copied order has an answer that clients know."""
    return Reason.REPLAYED_REQUEST if mark.method == "order.place" else Reason.SIGNATURE_USED


class ReplayGuard:
    """Remembers for which method signatures were accepted.

    Bounded: a key has a share, and what is too much pushes out the oldest of the same key; with too many keys, the oldest of
    the key that has signed nothing for longest. Nothing is refused for want of room, because the store judges what is not
    known here. So no key can lock out another.
    """

    def __init__(self, size_max: int = SIGNATURES_KEPT_MAX, share_max: int = SIGNATURES_KEPT_PER_KEY_MAX) -> None:
        self._size_max = size_max
        self._share_max = share_max
        self._size = 0
        self._kept: OrderedDict[str, dict[str, str]] = OrderedDict()
        """Key id → name of the mark → method, oldest first; the key that signed last comes last."""

    def is_known(self, mark: Mark, *, repeats: bool) -> bool:
        """Whether the signature was accepted here for this method, which may be asked again; False: ask the store.

        Args:
            repeats: whether the method only reads, so that the same request again is the same question.

        Raises:
            Rejected: it was accepted for another method, or for one that changes or opens something.
        """
        kept = self._kept.get(mark.key_id)
        if kept is None or mark.name not in kept:
            return False
        if repeats and kept[mark.name] == mark.method:
            return True
        raise Rejected(refusal_of(mark))

    def check_answer(self, mark: Mark, method: str | None, *, repeats: bool) -> None:
        """Judges what the store has answered: for which method the signature was accepted before; None for the first time.
        Notes it.

        Raises:
            Rejected: as `is_known`.
        """
        self._note(mark, mark.method if method is None else method)
        if method is not None and not (repeats and method == mark.method):
            raise Rejected(refusal_of(mark))

    def admit(self, mark: Mark) -> None:
        """Notes the signature of a command, which the store judges when it takes the command. Cost: 0.5 µs.

        Raises:
            Rejected: the signature was accepted here before.
        """
        self.is_known(mark, repeats=False)
        self._note(mark, mark.method)

    def forget(self, mark: Mark) -> None:
        """The request was refused before the store has set its mark: its sender may send it again."""
        if mark.name in self._kept.get(mark.key_id, ()):
            self._drop(mark.key_id, mark.name)

    def _note(self, mark: Mark, method: str) -> None:
        key_id, name = mark.key_id, mark.name
        kept = self._kept.get(key_id)
        if kept is None:
            kept = self._kept[key_id] = {}
        else:
            self._kept.move_to_end(key_id)
        if name not in kept:
            self._size += 1
        kept[name] = method
        if len(kept) > self._share_max:
            self._drop(key_id, next(iter(kept)))
        elif self._size > self._size_max:
            quietest, kept = next(iter(self._kept.items()))
            self._drop(quietest, next(iter(kept)))

    def _drop(self, key_id: str, name: str) -> None:
        kept = self._kept[key_id]
        del kept[name]
        self._size -= 1
        if not kept:
            del self._kept[key_id]
