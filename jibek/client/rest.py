"""Public GET requests to the venue's HTTP API."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException
from typing import Any

from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE
from jibek.console.failure import fail
from jibek.console.trust import context_for, transport_hint

HTTP_TIMEOUT_S = 10.0


def fetch(url: str, **query: str) -> Any:
    """The JSON at a URL of the gateway.

    Raises:
        Failure: exit code 1 if the gateway refuses the request, 3 if none answers within 10 s.
    """
    if query:
        url = f"{url}?{urllib.parse.urlencode(query)}"
    try:
        with urllib.request.urlopen(url, timeout=HTTP_TIMEOUT_S, context=context_for(url)) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        fail(EXIT_REFUSED, _message_of(error))
    except (OSError, ValueError, HTTPException) as error:
        place = urllib.parse.urlsplit(url).netloc
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        hint = transport_hint(url, cause) if isinstance(cause, Exception) else ""
        hint = hint or " If it runs here, see `jibek status`."
        fail(EXIT_UNREACHABLE, f"The gateway at {place} does not answer ({_why(cause)}).{hint}")


def _why(cause: BaseException | str) -> str:
    """Why no answer came, without the number of the error and the classes around it."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return cause.verify_message
    if isinstance(cause, HTTPException):
        return "what came is not HTTP"
    if isinstance(cause, OSError):
        return cause.strerror or str(cause)
    return f"the answer is not JSON: {cause}" if isinstance(cause, ValueError) else str(cause)


def _message_of(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["msg"])
    except (ValueError, KeyError, TypeError):
        return str(error)
