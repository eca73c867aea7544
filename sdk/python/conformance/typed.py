"""The handler whose types say their schemas: see DRIVER.md."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Place:
    city: str


@dataclass
class Order:
    item: str
    count: int
    tags: list[str]
    to: Place
    note: str | None = None


@dataclass
class Bill:
    item: str
    count: int
    city: str


async def bill(order: Order) -> Bill:
    """Makes the bill of an order."""
    return Bill(order.item, order.count, order.to.city)
