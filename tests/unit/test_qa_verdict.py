"""What counts as QA's verdict, and what only shows or takes back one."""

from __future__ import annotations

import pytest

from components import qa_verdict
from components.model import AgentResult
from components.states import Reason

PASSED = [
    "QA: PASSED",
    "I ran the suite.\n\nQA: PASSED",
    "QA: PASSED - 31 tests, all green",
    "QA: PASSED (31 tests, 0 failures, no errors)",
    "QA: PASSED - nothing is broken, nothing failed",
    "\u2705 QA: PASSED",
    "**QA: PASSED**",
    "- QA: PASSED",
    "  QA: PASSED",
    "Verdict:\n\nQA: PASSED",
    "I tried all the examples of the manual.\nQA: PASSED",
    "```\n31 passed in 2.1s\n```\nQA: PASSED",
    "```\nQA: PASSED\n```",
    '{"verdict": "passed"}',
    '```json\n{\n    "verdict": "passed",\n    "summary": "31 tests, all green"\n}\n```',
    '{"verdict": "passed", "tests_run": 31, "tests_failed": 0, "failures": [], "errors": null, "flaky": false}',
    "QA: PASSED - no regressions in tests",
    '{"verdict": "passed", "failures": "0 of 31", "errors": ""}',
    '{"qa": "PASSED", "summary": "no errors", "failures": "none"}',
    '{"verdict": "passed", "checks": [{"name": "test_login_failure", "verdict": "passed"}]}',
]
NO_VERDICT = [
    "The last line has to be one of\n```\nQA: PASSED\n```",
    "The last line has to be one of\n\n```text\nQA: PASSED\n",
    "I ran the suite.\n```\nQA: PASSED\n```",
    "I ran the suite.\n~~~\nQA: PASSED\n~~~",
    "I ran the suite.\n\n    QA: PASSED",
    "I ran the suite.\n\tQA: PASSED",
    "The last line has to be one of\nQA: PASSED",
    "The last line has to be one of\n- QA: REJECTED - why\n- QA: PASSED",
    "The last line must read:\n\nQA: PASSED",
    "For example:\nQA: PASSED",
    "**Example**\nQA: PASSED",
    "For example:\nQA: REJECTED - it crashes",
    "The last line has to be one of\n```\nQA: REJECTED - why\n```",
    "QA: PASSED - nothing was run",
    "QA: PASSED - nothing tested",
    "QA: PASSED - nothing has been checked yet",
    "QA: PASSED - no tests were run",
    "QA: PASSED - 0 tests",
    "QA: PASSED - without running the suite",
    "QA: PASSED - untested",
    'For example:\n{"verdict":"passed"}',
    'The form is\n```json\n{"verdict":"passed"}\n```',
    'I looked at it.\n```json\n{"verdict":"passed"}\n```',
    '{"verdict":"passed","tests_failed":12,"summary":"login broken"}',
    '{"verdict":"passed","tests_failed":12}',
    '{"verdict":"passed","summary":"login broken"}',
    '{"verdict":"passed","failures":["test_login"]}',
    '{"verdict":"passed","results":{"errors":1}}',
    '{"verdict":"passed","suite":{"verdict":"FAILED"}}',
    '{"verdict":"passed","failures":"test_login"}',
    '{"verdict":"passed","tests_run":0}',
    '{"verdict":"passed","ok":false}',
    '{"verdict":"passed","summary":"nothing was run"}',
]
REJECTED = [
    "QA: REJECTED - the total is wrong",
    "It should be 4, and it is 5.\nQA: REJECTED - the total is wrong",
    "- QA: REJECTED - the total is wrong\n\n    AssertionError: 5 != 4",
    "```\n1 failed\n```\nQA: REJECTED - the total is wrong",
    "For example, f(2) is wrong.\nQA: REJECTED - the total is wrong",
    '```json\n{"verdict": "rejected", "why": "the total is wrong"}\n```',
    '{"verdict": "failed", "tests_failed": 0}',
]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *((text, Reason.SUCCEEDED) for text in PASSED),
        *((text, Reason.NO_VERDICT) for text in NO_VERDICT),
        *((text, Reason.REJECTED) for text in REJECTED),
    ],
)
def test_a_verdict_is_what_qa_says_and_not_what_it_shows_or_takes_back(text: str, reason: Reason) -> None:
    """Examples in fences, and JSON that tells of failures, counted as passed."""
    assert qa_verdict.of(AgentResult(is_error=False, text=text)) is reason
