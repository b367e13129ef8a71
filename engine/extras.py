"""What is installed only with an extra of the package, imported when it is first needed."""

from __future__ import annotations

from typing import Any


def import_numpy() -> Any:
    """NumPy, for the calls that take or return its arrays. Everything else works without it.

    Raises:
        ModuleNotFoundError: it is not installed; the message says how to install it.
    """
    try:
        import numpy
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "arrays need NumPy: run `make build` in a clone, elsewhere `pip install numpy`", name="numpy"
        ) from None
    return numpy
