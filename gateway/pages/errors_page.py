"""Writes docs/errors.md from the enum of reasons and the words that clients get.

    python -m gateway.pages.errors_page

A test keeps the page current.
"""

from __future__ import annotations

import re
from pathlib import Path

from engine.reasons import Reason
from gateway.dialect.rejects import WORDINGS, Reject, wording

PAGE = Path(__file__).parent.parent.parent / "docs" / "errors.md"

HEAD = """\
# Errors

Written by `python -m gateway.pages.errors_page` from `engine/reasons.py` and `gateway/dialect/rejects.py`; a test keeps it current. Do
not edit.

A refused request changes nothing. The reply has an HTTP status, an error code and a text, word for word as the dialect defines them:

    {"id": 7, "status": 400, "error": {"code": -1121, "msg": "Invalid symbol."}}

In the tables `{}` is where the text names something, mostly a parameter. Stream connections wrap the same code and text as
`{"error": …, "id": …}`. Plain HTTP answers with them and puts the status in its first line. A refused cancel has code -2011 where a
refused order has -2010. The number and the name are the venue's own, and no client sees them: the number is in the venue's events, and
`jibek` prints the name when the venue refuses a command.

The connection stays open after each of these. The venue closes it only if you break the WebSocket protocol or pass one of its
bounds:

| close code | when |
|---|---|
| 1000 | you closed it |
| 1001 | the venue shuts down, after it has said so in `serverShutdown`; or the connection is 24 hours old |
| 1002 | a frame breaks the protocol: it is not masked, has an unknown opcode, continues no message, or is a control frame of over 125 bytes |
| 1003 | a binary message: each request is one text message |
| 1007 | a text message that is not UTF-8 |
| 1008 | too many fragments, too many requests a second on a stream connection, a reader that is too slow, or a banned address, after its refusal |
| 1009 | a message of over 64 KiB |
| 1011 | no pong within a minute |
"""

FAMILIES = {
    100: "The record itself",
    200: "Assets and markets",
    300: "Accounts, keys, money",
    400: "Placing an order",
    500: "Cancelling an order",
    600: "Why an order ended",
    700: "Refused by the gateway",
}
NOTES = {
    100: "You meet these only if you write to the journal yourself; the gateway and `jibek` send no such commands.",
    600: "These are not refusals: the event that ends an order has one of them, and clients see its status, CANCELED or EXPIRED.",
    700: "These requests never reached the journal, except for OUTCOME_UNKNOWN: there the gateway does not know.",
}


def meaning_and_advice(reason: Reason) -> tuple[str, str]:
    """The first sentence of the reason's text says what it means, the rest what to do."""
    meaning, *advice = re.split(r"(?<=[\w)]\.) (?=[A-Z])", reason.text, maxsplit=1)
    return meaning, "".join(advice)


def _row(reason: Reason) -> str:
    meaning, advice = meaning_and_advice(reason)
    cells = [str(int(reason)), f"`{reason.name}`", *_words(reason), meaning, advice]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _words(reason: Reason) -> tuple[str, str, str]:
    """Status, code and text on the wire; dashes for a reason that no client can get."""
    if reason not in WORDINGS:
        return "–", "–", "–"
    status, code, message = wording(Reject(reason))
    return str(status), str(code), message


def page() -> str:
    """The text of docs/errors.md."""
    sections = [HEAD]
    for family, title in FAMILIES.items():
        lines = [f"## {family // 100}xx: {title}", ""]
        if family in NOTES:
            lines += [NOTES[family], ""]
        lines += ["| number | name | status | code | text | meaning | what to do |", "|---|---|---|---|---|---|---|"]
        lines += [_row(reason) for reason in Reason if family <= reason < family + 100]
        sections.append("\n".join(lines) + "\n")
    return "\n".join(sections)


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
