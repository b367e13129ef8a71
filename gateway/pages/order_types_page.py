"""Writes docs/order-types.md from the rows of the order types.

    python -m gateway.pages.order_types_page

A test keeps the page current.
"""

from __future__ import annotations

from pathlib import Path

from engine.order_types import OrderType, TimeInForce

PAGE = Path(__file__).parent.parent.parent / "docs" / "order-types.md"

HEAD = """\
# Order types

Written by `python -m gateway.pages.order_types_page` from `engine/order_types.py`; a test keeps it current. Do not edit.

The parameters are those of `order.place`. Send `symbol`, `side` and `type` with every order. With every type you may also send
`newClientOrderId`, and `newOrderRespType` (ACK, RESULT or FULL) to get another answer than the type's default. If you send a
parameter of this page that the type does not take, the order is refused and the error names the parameter
(PARAMETER_NOT_REQUIRED, see [errors.md](errors.md)). Unknown parameters are ignored. Numbers may be JSON numbers or strings:
`0.5` and `"0.5"` are the same quantity. `exchangeInfo` lists the same types; [api.md](api.md) explains how to send an order.

| type | what it does | mandatory parameters | times in force | default answer |
|---|---|---|---|---|
"""
TIMES = """
| time in force | the order works |
|---|---|
"""
TIME_TEXTS = {
    TimeInForce.GTC: "until it is filled or you cancel it",
    TimeInForce.IOC: "at once; the remainder expires",
    TimeInForce.FOK: "at once and whole, or not at all",
}


def mandatory_parameters(order_type: OrderType) -> list[str]:
    """What an order of this type must have besides symbol, side and type."""
    terms = order_type.terms
    wanted = {
        "timeInForce": terms.times_in_force != (TimeInForce.NONE,),
        "price": terms.limit,
        "stopPrice": terms.trigger,
        "quantity": not terms.by_quote,
        "quantity or quoteOrderQty": terms.by_quote,
    }
    return [name for name, is_wanted in wanted.items() if is_wanted]


def _code(names: list[str]) -> str:
    return ", ".join(" or ".join(f"`{word}`" for word in name.split(" or ")) for name in names)


def _row(order_type: OrderType) -> str:
    terms = order_type.terms
    times = [time.name for time in terms.times_in_force if time != TimeInForce.NONE]
    cells = [
        f"`{order_type.name}`",
        terms.summary,
        _code(mandatory_parameters(order_type)),
        ", ".join(times) or "–",
        "FULL" if terms.full_answer else "ACK",
    ]
    return "| " + " | ".join(cells) + " |\n"


def page() -> str:
    """The text of docs/order-types.md."""
    times = [f"| {time.name} | {TIME_TEXTS[time]} |\n" for time in TimeInForce if time != TimeInForce.NONE]
    return "".join([HEAD, *map(_row, OrderType), TIMES, *times])


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
