"""Places for live streams: as many as are allowed, and never more than the process may have files."""

from __future__ import annotations

import pytest

from components.server.places import Places, TooManyStreams


def test_a_place_is_free_again_when_its_stream_ends() -> None:
    places = Places(1, 4096)

    with places.place(), pytest.raises(TooManyStreams, match="max_streams is 1"):
        places.require()

    places.require()


def test_where_few_files_may_be_open_there_are_fewer_places_and_the_refusal_says_why() -> None:
    places = Places(2000, Places.RESERVED + 1)

    with places.place(), pytest.raises(TooManyStreams, match="ulimit -n"):
        places.require()
