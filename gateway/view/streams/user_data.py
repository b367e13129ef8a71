"""User data: what happens to an account, for the sessions that follow it."""

from __future__ import annotations

from collections.abc import Callable

from engine.reasons import Reason
from gateway.dialect import user_events
from gateway.dialect.rejects import Rejected
from gateway.limits import SUBSCRIPTION_IDS_MAX, SUBSCRIPTIONS_PER_SESSION_MAX
from gateway.view.accounts import Account
from gateway.view.streams.followers import Listener
from gateway.wire.frames import encode_text


class Subscription:
    """A session that follows the events of an account."""

    __slots__ = ("account", "id", "key_id", "session")

    def __init__(self, session: Listener, id: int, account: Account, key_id: str) -> None:
        self.session = session
        self.id = id
        self.account = account
        self.key_id = key_id


class UserData:
    """All subscriptions. `Account.subscriptions` and `Listener.subscriptions` list them."""

    def __init__(self) -> None:
        self._queued: dict[Listener, list[bytes]] = {}

    def subscribe(self, session: Listener, account: Account, key_id: str, subscriptions_max: int) -> int:
        """Follows an account's events on a session; the new subscription's id.

        Args:
            subscriptions_max: how many the account may have over all sessions.

        Raises:
            Rejected: the session follows this account already, or it or the account has too many subscriptions.
        """
        if any(other.account is account for other in session.subscriptions.values()):
            raise Rejected(Reason.SUBSCRIPTION_ACTIVE)
        id = session.next_subscription_id
        if id >= SUBSCRIPTION_IDS_MAX or len(session.subscriptions) >= SUBSCRIPTIONS_PER_SESSION_MAX:
            raise Rejected(Reason.TOO_MANY_SUBSCRIPTIONS)
        if len(account.subscriptions) >= subscriptions_max:
            raise Rejected(Reason.TOO_MANY_ACCOUNT_SUBSCRIPTIONS, str(subscriptions_max))
        session.next_subscription_id += 1
        subscription = session.subscriptions[id] = Subscription(session, id, account, key_id)
        account.subscriptions.append(subscription)
        return id

    def unsubscribe(self, subscription: Subscription) -> None:
        """Ends a subscription without a word to the client. Cost: O(subscriptions of its account)."""
        del subscription.session.subscriptions[subscription.id]
        subscription.account.subscriptions.remove(subscription)

    def terminate(self, subscription: Subscription, time_us: int) -> None:
        """Ends a subscription from this side and says so."""
        session = subscription.session
        text = user_events.stream_terminated(time_us, session.unit)
        self.unsubscribe(subscription)
        session.send(encode_text(user_events.user_event(subscription.id, text)))

    def end_subscriptions(self, account: Account, key_id: str, time_us: int) -> None:
        """Ends all subscriptions to an account that were made with a key."""
        for subscription in list(account.subscriptions):
            if subscription.key_id == key_id:
                self.terminate(subscription, time_us)

    def queue(self, account: Account, make: Callable[[int], str]) -> None:
        """Encodes an event of an account now, for `send_queued` to send behind the reply to its cause."""
        texts: dict[int, str] = {}
        for subscription in account.subscriptions:
            unit = subscription.session.unit
            text = texts.get(unit)
            if text is None:
                text = texts[unit] = make(unit)
            frame = encode_text(user_events.user_event(subscription.id, text))
            self._queued.setdefault(subscription.session, []).append(frame)

    def send_queued(self) -> None:
        """Sends what `queue` has encoded, to each session in that order."""
        if self._queued:
            for session, frames in self._queued.items():
                session.send(b"".join(frames))
            self._queued.clear()
