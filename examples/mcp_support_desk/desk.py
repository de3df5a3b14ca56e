"""A support desk as an MCP server: finds orders, and takes money back. Its data is in memory."""

from __future__ import annotations

import asyncio

from mcp.server.fastmcp import Context, FastMCP
from pydantic import BaseModel

server = FastMCP("desk", log_level="WARNING")


class Order(BaseModel):
    number: int
    customer: str
    euros: float
    state: str


ORDERS = {
    1001: Order(number=1001, customer="Ada", euros=39.90, state="delivered"),
    1002: Order(number=1002, customer="Grace", euros=12.50, state="on its way"),
    1003: Order(number=1003, customer="Ada", euros=80.00, state="lost"),
}


@server.tool()
def find_orders(customer: str) -> list[Order]:
    """Find the orders of a customer by name."""
    return [order for order in ORDERS.values() if order.customer.lower() == customer.lower()]


@server.tool()
def get_order(number: int) -> Order:
    """Get one order by its number."""
    if number not in ORDERS:
        raise ValueError(f"There is no order {number}. Ask the customer for the number on the receipt.")
    return ORDERS[number]


@server.tool()
async def track_parcel(number: int, context: Context) -> str:
    """Ask the carrier where the parcel of an order is. Takes a while."""
    stations = ("the warehouse", "Hamburg", "Berlin")
    for step, station in enumerate(stations, start=1):
        await context.report_progress(step, len(stations), f"asking {station}")
        await asyncio.sleep(0.6)
    return f"The parcel of order {number} was last seen in Berlin."


@server.tool()
def refund(number: int, euros: float) -> str:
    """Pay back money for an order."""
    order = get_order(number)
    if not 0 < euros <= order.euros:
        raise ValueError(f"Order {number} cost {order.euros:.2f} euros; no more can be paid back.")
    order.euros -= euros
    return f"{euros:.2f} euros for order {number} were paid back to {order.customer}."


@server.tool()
def delete_everything() -> str:
    """Delete all orders. The profile does not offer this tool."""
    ORDERS.clear()
    return "Deleted."


if __name__ == "__main__":
    server.run()
