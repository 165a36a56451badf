"""How often an address may ask: a bucket for each, refilled as time goes by."""

from __future__ import annotations

import time
from collections import OrderedDict

ADDRESSES = 10_000
"""How many addresses are remembered; the one that asked longest ago is forgotten first."""


class Rates:
    """Allows so many requests a minute for each address, also all of them at once."""

    def __init__(self, a_minute: int) -> None:
        self._most = float(a_minute)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, address: str) -> bool:
        """Count a request; False for one too many."""
        now = time.monotonic()
        left, since = self._buckets.pop(address, (self._most, now))
        left = min(self._most, left + (now - since) * self._most / 60)
        self._buckets[address] = (max(0.0, left - 1), now)
        if len(self._buckets) > ADDRESSES:
            self._buckets.popitem(last=False)
        return left >= 1
