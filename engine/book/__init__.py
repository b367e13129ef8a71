"""One order book with price-time priority as a library of its own: `from engine import Book`. Compiled."""

from engine.book.book import (
    EVENT_FIELDS,
    OPERATION_FIELDS,
    Book,
    BookEvent,
    BookEventKind,
    DepthLevel,
    EventBlock,
    OperationKind,
    QueuePlace,
    RestingOrder,
    event_dtype,
    operation_dtype,
)

__all__ = [
    "EVENT_FIELDS",
    "OPERATION_FIELDS",
    "Book",
    "BookEvent",
    "BookEventKind",
    "DepthLevel",
    "EventBlock",
    "OperationKind",
    "QueuePlace",
    "RestingOrder",
    "event_dtype",
    "operation_dtype",
]
