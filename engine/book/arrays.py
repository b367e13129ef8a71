"""Arrays of operations and events, for `Book.apply`. NumPy is optional, so it is imported only for the first array."""

from __future__ import annotations

import operator
import struct
from collections.abc import Iterable
from typing import Any

from engine.book.values import EVENT_FIELDS, OPERATION_FIELDS
from engine.extras import import_numpy


def operation_dtype() -> Any:
    """The NumPy dtype of one operation of `Book.apply`, 40 bytes."""
    return _dtype("operation", OPERATION_FIELDS)


def event_dtype() -> Any:
    """The NumPy dtype of one event of `Book.apply`, 48 bytes."""
    return _dtype("event", EVENT_FIELDS)


# Filled on first use, because NumPy is optional.
_dtypes: dict[str, Any] = {}


def _dtype(name: str, fields: list[tuple[str, str]]) -> Any:
    if name not in _dtypes:
        numpy = import_numpy()
        _dtypes[name] = numpy.dtype(fields)
    return _dtypes[name]


_OPERATION = struct.Struct("<4BIQQqq")
assert _OPERATION.size == 40


def records_of(operations: Any) -> Any:
    """The argument of `Book.apply` as a contiguous array of `operation_dtype()`."""
    numpy = import_numpy()
    dtype = operation_dtype()
    if not isinstance(operations, numpy.ndarray):
        return numpy.frombuffer(_packed(operations), dtype)
    if operations.ndim != 1:
        raise ValueError(f"operations must have one dimension, not {operations.ndim}")
    if operations.dtype != dtype:
        operations = _converted(operations, dtype)
    return numpy.ascontiguousarray(operations)


def _converted(operations: Any, dtype: Any) -> Any:
    """An array with the same fields in another order, byte order or width."""
    numpy = import_numpy()
    if sorted(operations.dtype.names or ()) != sorted(dtype.names):
        raise ValueError(f"the fields of operations must be {', '.join(dtype.names)}")
    converted = numpy.empty(len(operations), dtype)
    for name in dtype.names:
        column, limits = operations[name], numpy.iinfo(dtype[name])
        if column.dtype.kind not in "iu":
            raise TypeError(f"{name} must be whole numbers, not {column.dtype}")
        if column.size and not limits.min <= int(column.min()) <= int(column.max()) <= limits.max:
            raise OverflowError(f"{name} must be from {limits.min} to {limits.max}")
        converted[name] = column
    return converted


def _packed(operations: Iterable[Any]) -> bytearray:
    """The records of tuples."""
    packed = bytearray()
    for index, operation in enumerate(operations):
        try:
            packed += _OPERATION.pack(*operation)
        except (TypeError, struct.error):
            raise _operation_fault(index, operation) from None
    return packed


def _operation_fault(index: int, operation: Any) -> Exception:
    """Why a tuple is not an operation."""
    if not isinstance(operation, (tuple, list)):
        return TypeError(f"operation {index} must be a tuple, not {operation!r}")
    if len(operation) != len(OPERATION_FIELDS):
        names = ", ".join(name for name, _ in OPERATION_FIELDS)
        return ValueError(f"operation {index} must have the fields {names}, not {len(operation)} numbers")
    for (name, code), number in zip(OPERATION_FIELDS, operation, strict=True):
        try:
            whole = operator.index(number)
        except TypeError:
            return TypeError(f"operation {index}: {name} must be a whole number, not {number!r}")
        bits, signed = 8 * int(code[-1]), code[-2] == "i"
        if not -(2 ** (bits - 1)) * signed <= whole < 2 ** (bits - signed):
            return OverflowError(f"operation {index}: {name} must fit {bits} bits, not {number}")
    raise AssertionError(operation)
