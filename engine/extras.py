"""What is installed only with an extra of the package, imported when it is first needed."""

from __future__ import annotations

from typing import Any


def import_numpy() -> Any:
    """NumPy, for the calls that take or return its arrays. Everything else works without it.

    Raises:
        ModuleNotFoundError: it is not installed; the message names the extra that brings it.
    """
    try:
        import numpy
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "arrays need NumPy: install it with pip install 'jibek[bench]'", name="numpy"
        ) from None
    return numpy
