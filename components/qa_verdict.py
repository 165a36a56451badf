"""What QA says of the work that it was given, read from its last message."""

from __future__ import annotations

import json
import re

from components.model import BY_EXIT_CODE, AgentResult
from components.states import Reason

PASSED = re.compile(r"[\s*_`#-]*QA:[\s*_`]*PASSED[\s*_`.!\u2705\u2714\ufe0f]*", re.IGNORECASE)
"""All of the last line: within a sentence, or before one, the words are quoted, announced or taken back."""
REJECTED = re.compile(r"^[\s>*_`#-]*QA:[\s*_`]*(REJECTED|FAILED)\b(?!\W*<)", re.IGNORECASE | re.MULTILINE)
"""Anywhere: the reason may go on for lines. The line of the prompt that shows its form (`<why>`) is none."""
OBJECT = re.compile(r"^[ \t]*\{", re.MULTILINE)
FENCE = "`"
WORDS = {"passed": Reason.SUCCEEDED, "rejected": Reason.REJECTED, "failed": Reason.REJECTED}


def of(result: AgentResult) -> Reason:
    """Return whether the work passed or was rejected, or that nothing clear was said of it.

    The prompt asks for the verdict as the last line. A message that both rejects and passes is asked for again. A
    program that speaks by its exit code alone has said by it that the work passed.
    """
    lines = [line for line in result.text.splitlines() if line.strip(" \t`*_")]
    has_passed = bool(lines) and PASSED.fullmatch(lines[-1]) is not None
    has_rejected = REJECTED.search(result.text) is not None
    if has_passed:
        return Reason.NO_VERDICT if has_rejected else Reason.SUCCEEDED
    if has_rejected:
        return Reason.REJECTED
    unsaid = Reason.SUCCEEDED if result.subtype == BY_EXIT_CODE else Reason.NO_VERDICT
    return WORDS.get(_in_json(result.text), unsaid)


def _in_json(text: str) -> str:
    """Return the `verdict` (or `qa`) of the object with which a text ends: its own, not one of a part of it."""
    text = text.strip().rstrip(FENCE).rstrip()
    for begin in OBJECT.finditer(text):
        try:
            told, end = json.JSONDecoder().raw_decode(text, begin.end() - 1)
        except (ValueError, RecursionError):
            continue
        if end == len(text) and isinstance(told, dict):
            verdict = told.get("verdict", told.get("qa"))
            return verdict.lower() if isinstance(verdict, str) else ""
    return ""
