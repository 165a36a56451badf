"""What QA says of the work that it was given, read from its last message."""

from __future__ import annotations

import json
import re

from components.model import BY_EXIT_CODE, AgentResult
from components.states import Reason

PASSED = re.compile(
    r"[\s*_`#\u2705\u2714\ufe0f-]*QA:[\s*_`]*PASSED"
    r"(?:[\s*_`.!\u2705\u2714\ufe0f]*+(?:(?:[-:\u2013\u2014]\s|\()(?P<said>.*))?)",
    re.IGNORECASE,
)
"""All of the last line; words may follow after a dash. Within a sentence it is quoted, announced or taken back."""
NONE_OF_IT = re.compile(
    r"\b(?:no|zero|0|without|nothing) (?:\w+ ){0,2}?(?:fail\w*|errors?|problems?|issues?)", re.IGNORECASE
)
TAKEN_BACK = re.compile(
    r"\b(?:but|however|except|though|although|if|once|when|unless|until|after|assuming|provided|pending|should|would|not"
    r"|cannot|never|only|skip\w*|fail\w*|broken?|errors?|wrong|missing|reject\w*|todo|partly|partially)\b|n't\b|\?",
    re.IGNORECASE,
)
"""Words after which it is no plain statement that the work passed, unless NONE_OF_IT has them."""
REJECTED = re.compile(
    r"^(?:[\s*_`#\u274c\u2716\u26d4\ufe0f-]|\d{1,2}[.)]\s)*+QA:[\s*_`]*(REJECTED|FAILED)\b(?!\W*<)",
    re.IGNORECASE | re.MULTILINE,
)
"""Anywhere but in a quotation (`> `): the reason may go on for lines. The prompt's line that shows its form is none."""
OBJECT = re.compile(r"^[ \t]*\{", re.MULTILINE)
FENCE = "`"
KEYS = ("verdict", "qa")
WORDS = {"passed": Reason.SUCCEEDED, "rejected": Reason.REJECTED, "failed": Reason.REJECTED}


def of(result: AgentResult) -> Reason:
    """Return whether the work passed or was rejected, or that nothing clear was said of it.

    The prompt asks for the verdict as the last line. A message that both rejects and passes is asked for again. A
    program that speaks by its exit code alone has said by it that the work passed.
    """
    lines = [line for line in result.text.splitlines() if line.strip(" \t`*_")]
    has_passed = bool(lines) and _is_passed(lines[-1])
    has_rejected = REJECTED.search(result.text) is not None
    if has_passed:
        return Reason.NO_VERDICT if has_rejected else Reason.SUCCEEDED
    if has_rejected:
        return Reason.REJECTED
    unsaid = Reason.SUCCEEDED if result.subtype == BY_EXIT_CODE else Reason.NO_VERDICT
    return WORDS.get(_in_json(result.text), unsaid)


def _is_passed(line: str) -> bool:
    """Does a line say that the work passed, and no more that would take it back?"""
    found = PASSED.fullmatch(line)
    return found is not None and TAKEN_BACK.search(NONE_OF_IT.sub("", found["said"] or "")) is None


def _in_json(text: str) -> str:
    """Return the `verdict` (or `qa`) of the object with which a text ends: its own, not one of a part of it.

    One that is told twice, and not the same, is none.
    """
    text = text.strip().rstrip(FENCE).rstrip()
    for begin in OBJECT.finditer(text):
        try:
            told, end = json.JSONDecoder(object_pairs_hook=tuple).raw_decode(text, begin.end() - 1)
        except (ValueError, RecursionError):
            continue
        if end == len(text):
            verdicts = {str(value).lower() for name, value in told if name in KEYS}
            return verdicts.pop() if len(verdicts) == 1 else ""
    return ""
