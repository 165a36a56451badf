"""Tells a notice to an address by POST, as JSON with the headers of the other webhooks."""

from __future__ import annotations

import json

from components import webhook_request
from components.errors import NotTold
from components.event import Notice
from components.webhook_request import Delivery, Unanswered


class Webhook:
    """One address. `text` has all that people read, which is what chat services take for a message."""

    def __init__(self, address: str, timeout: float, secret: bytes) -> None:
        self._address, self._timeout, self._secret = address, timeout, secret

    def tell(self, notice: Notice) -> None:
        """Tell it. Raises NotTold."""
        told = {"event": notice.event, "title": notice.title, "text": f"{notice.title}\n{notice.text}", **notice.facts}
        try:
            delivery = Delivery(self._address, json.dumps(told, ensure_ascii=False).encode())
            status, _ = webhook_request.post(delivery, self._secret, self._timeout)
        except Unanswered as error:
            raise NotTold(str(error)) from None
        if status >= 300:
            raise NotTold(f"HTTP {status}", is_final=True)
