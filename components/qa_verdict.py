"""What QA says of the work that it was given, read from its last message."""

from __future__ import annotations

import re

from components.model import AgentResult
from components.states import Reason

QA_PASSED = re.compile(r"[\s>*_`#-]*QA:[\s*_`]*PASSED[\s*_`.!]*", re.IGNORECASE)
"""All of the last line: within a sentence, or before one, the words are quoted, announced or taken back."""
QA_REJECTED = re.compile(r"^[\s>*_`#-]*QA:[\s*_`]*(REJECTED|FAILED)\b(?!\W*<)", re.IGNORECASE | re.MULTILINE)
"""Anywhere: the reason may go on for lines. The line of the prompt that shows its form (`<why>`) is none."""
QA_IN_JSON = re.compile(r'"(?:qa|verdict)"\s*:\s*"(PASSED|REJECTED|FAILED)\b', re.IGNORECASE)
"""A field of a message in JSON, with which the text ends."""
BY_EXIT_CODE = "exit_code"
"""The subtype of a result that is no more than an exit code."""


def of(result: AgentResult) -> Reason:
    """Return whether the work passed or was rejected, or that nothing was said of it.

    The prompt asks for the verdict as the last line.

    A program that speaks by its exit code alone has said by it that the work passed.
    """
    lines = [line for line in result.text.splitlines() if line.strip(" \t`*_")]
    last = lines[-1] if lines else ""
    if QA_PASSED.fullmatch(last):
        return Reason.SUCCEEDED
    in_json = QA_IN_JSON.findall(result.text) if last.rstrip().endswith("}") else []
    if QA_REJECTED.search(result.text) or (in_json and in_json[-1].upper() != "PASSED"):
        return Reason.REJECTED
    return Reason.SUCCEEDED if in_json or result.subtype == BY_EXIT_CODE else Reason.NO_VERDICT
