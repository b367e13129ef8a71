"""One order book with price-time priority as a library of its own: `from engine import Book`. Compiled."""

from engine.book.arrays import event_dtype, operation_dtype
from engine.book.book import Book, EventBlock
from engine.book.values import (
    EVENT_FIELDS,
    OPERATION_FIELDS,
    BookEvent,
    BookEventKind,
    DepthLevel,
    OperationKind,
    QueuePlace,
    RestingOrder,
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
