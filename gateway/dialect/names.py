"""The names that the dialect gives to the numbers of the records, for both directions."""

from __future__ import annotations

from engine.records import OrderType, Side, TimeInForce

SIDE_NAMES: dict[int, str] = {side: side.name for side in Side}
ORDER_TYPE_NAMES: dict[int, str] = {order_type: order_type.name for order_type in OrderType}
TIME_IN_FORCE_NAMES: dict[int, str] = {time: time.name if time else "GTC" for time in TimeInForce}
"""An order type that has no choice is shown as good till cancelled."""

SIDES = {side.name: int(side) for side in Side}
ORDER_TYPES = {order_type.name: order_type for order_type in OrderType}
TIMES_IN_FORCE = {
    order_type: {time.name: int(time) for time in order_type.terms.times_in_force if time != TimeInForce.NONE}
    for order_type in OrderType
}
"""What `timeInForce` may say, by order type; nothing where the type has no choice."""
