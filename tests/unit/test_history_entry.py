"""What the history says of a task in hand."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from components import history_entry
from components.states import FINAL, LIVE, TRANSITIONS, ExecutionStatus, Reason


@given(st.sampled_from(ExecutionStatus), st.sampled_from(ExecutionStatus))
def test_a_way_is_made_of_legal_moves_and_none_leads_out_of_an_end(
    before: ExecutionStatus, after: ExecutionStatus
) -> None:
    way = history_entry.way(before, after)

    if before is after:
        assert way == []
    elif before in FINAL:
        assert way is None
    else:
        assert way is not None or after in LIVE  # what is finishing does not begin again
        assert all(second in TRANSITIONS[first] for first, second in pairwise([before, *(way or [])]))
        assert way is None or way[-1] is after
        assert not set((way or [])[:-1]) & (FINAL | {ExecutionStatus.INTERRUPTED})


def test_every_reason_ends_in_one_of_the_three_ends() -> None:
    assert {history_entry.ended_by(reason) for reason in Reason} == FINAL
    assert history_entry.ended_by(Reason.REJECTED) is ExecutionStatus.SUCCEEDED
    assert history_entry.ended_by("a reason of a later version") is ExecutionStatus.FAILED
