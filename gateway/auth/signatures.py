"""The text that a signature is over, and whether a request carries its key's signature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.auth.keys import Key
from gateway.dialect.numbers import NumberToken


def signature_payload(params: Mapping[str, Any]) -> str | None:
    """The text that is signed: all parameters but the signature, by name, as `name=value` joined by `&`.

    Numbers stand as their sender wrote them (`Request.use_exact_params`). None where a value is a list or an object, and where
    the text could be read as that of other parameters, because a name has `&` or `=` in it or a value has `&`: who changes a
    request on its way could then hide one parameter in another.

    >>> signature_payload({"b": "x", "a": True, "signature": "s"})
    'a=true&b=x'
    """
    return _payload(params, _plain_text)


def _payload(params: Mapping[str, Any], text: Callable[[Any], str | None]) -> str | None:
    pairs = []
    for name in sorted(params):
        if name != "signature":
            value = text(params[name])
            if value is None or "&" in value or "&" in name or "=" in name:
                return None
            pairs.append(f"{name}={value}")
    return "&".join(pairs)


def _plain_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else None


def _python_text(value: Any) -> str | None:
    """The value as clients write it that sign Python's own text of it and not that of the frame."""
    if isinstance(value, NumberToken) and any(sign in value for sign in ".eE"):
        return repr(float(value))
    if isinstance(value, str):
        return value
    return str(value) if value is None or isinstance(value, bool) else None


def is_signed_by(key: Key, params: Mapping[str, Any]) -> bool:
    """Whether the parameters carry the key's signature.

    Some clients sign a number or a truth value in another form than they send. That form is tried second; it is keyed
    all the same, so it is of no use without the key.
    """
    signature = params.get("signature")
    if not isinstance(signature, str):
        return False
    payload = _payload(params, _plain_text)
    if payload is None:
        return False
    if key.verifies(payload, signature):
        return True
    other = _payload(params, _python_text)
    return other is not None and other != payload and key.verifies(other, signature)
