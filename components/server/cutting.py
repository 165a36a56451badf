"""Where the bytes of a stream are cut into frames, so that text stays text."""

from __future__ import annotations

import base64

CHUNK = 32 * 1024
"""Bytes of output in a frame. Frames end where a multiple of this does, so that clients share them, or up to three
bytes before it, where a character of text begins that ends behind it: the frame after that one is so much longer."""
LONGEST_CHARACTER = 4
"""Bytes of one character of UTF-8, at most."""


def length_at(within: int, chunk: int) -> int:
    """Return how many bytes from an offset on are for one frame; always enough for a whole character."""
    length = chunk - within % chunk
    return length if length >= LONGEST_CHARACTER else length + chunk


def cut(data: bytes, *, is_last: bool) -> tuple[str, str, int]:
    """Return the first bytes as text with its encoding, and how many of them.

    A character that ends behind them waits for its rest, unless they are the last. So 0 is only for less than one.
    """
    whole = data if is_last else data[: len(data) - _unfinished(data)]
    try:
        return whole.decode(), "utf-8", len(whole)
    except UnicodeDecodeError as error:
        if error.start:
            return whole[: error.start].decode(), "utf-8", error.start
    return base64.b64encode(whole).decode(), "base64", len(whole)


def _unfinished(data: bytes) -> int:
    """Return how many bytes at the end are the beginning of a character that goes on behind them."""
    for size in range(1, min(LONGEST_CHARACTER, len(data) + 1)):
        try:
            data[-size:].decode()
        except UnicodeDecodeError as error:
            if error.start == 0 and error.reason == "unexpected end of data":
                return size
    return 0
