"""What QA says of the work that it was given, read from its last message."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from components import shown_text
from components.model import BY_EXIT_CODE, AgentResult
from components.states import Reason

PASSED = re.compile(
    r"[\s*_`#\u2705\u2714\ufe0f-]*QA:[\s*_`]*PASSED"
    r"(?:[\s*_`.!\u2705\u2714\ufe0f]*+(?:(?:[-:\u2013\u2014]\s|\()(?P<said>.*))?)",
    re.IGNORECASE,
)
"""All of the last line; words may follow after a dash. Within a sentence it is quoted, announced or taken back."""
NONE_OF_IT = re.compile(
    r"\b(?:no|zero|0|without|nothing) (?:\w+ ){0,2}?(?:fail\w*|errors?|problems?|issues?|broken|wrong|missing)",
    re.IGNORECASE,
)
TAKEN_BACK = re.compile(
    r"\b(?:but|however|except|though|although|if|once|when|unless|until|after|assuming|provided|pending|should|would|not"
    r"|cannot|never|only|skip\w*|fail\w*|broken?|errors?|wrong|missing|reject\w*|todo|partly|partially"
    r"|un(?:tested|checked|verified)|nothing (?:\w+ ){0,2}?(?:run|ran|test\w*|check\w*|execut\w*|verif\w*|tried)"
    r"|(?:no|zero|0) (?:unit |automated |manual |such )?(?:tests?|checks?)|without (?:\w+ )?(?:run|test|check)\w*)\b"
    r"|n't\b|\?",
    re.IGNORECASE,
)
"""Words after which it is no plain statement that the work passed, unless NONE_OF_IT has them."""
REJECTED = re.compile(
    r"^(?:[\s*_`#\u274c\u2716\u26d4\ufe0f-]|\d{1,2}[.)]\s)*+QA:[\s*_`]*(REJECTED|FAILED)\b(?!\W*<)",
    re.IGNORECASE | re.MULTILINE,
)
"""Anywhere but in a quotation (`> `): the reason may go on for lines. The prompt's line that shows its form is none."""
OBJECT = re.compile(r"^[ \t]*\{", re.MULTILINE)
KEYS = ("verdict", "qa")
WORDS = {"passed": Reason.SUCCEEDED, "rejected": Reason.REJECTED, "failed": Reason.REJECTED}
COUNTS_OF_TROUBLE = re.compile(r"fail|error|broken|reject|bug|defect|issue|problem|missing", re.IGNORECASE)
"""Keys of JSON of which a true value, a count or a list with something in it speaks against the work."""
SIGNS_OF_WORK = re.compile(
    r"(?:^|_)(?:ok|pass(?:ed)?|success(?:ful)?|green|run|ran|executed|tested|checked)$", re.IGNORECASE
)
"""Keys of which 0 or false does."""
NONE = re.compile(r"\W*(?:(?:no|none|nothing|zero|0|n/a|false)\b.*)?", re.IGNORECASE | re.DOTALL)


def of(result: AgentResult) -> Reason:
    """Return whether the work passed or was rejected, or that nothing clear was said of it.

    The prompt asks for the verdict as the last line. A message that both rejects and passes is asked for again. A
    program that speaks by its exit code alone has said by it that the work passed.
    """
    said = shown_text.left_out(result.text)
    lines = [line for line in said.splitlines() if line.strip(" \t`*_")]
    has_passed = bool(lines) and _is_passed(lines[-1])
    has_rejected = REJECTED.search(said) is not None
    if has_passed:
        return Reason.NO_VERDICT if has_rejected else Reason.SUCCEEDED
    if has_rejected:
        return Reason.REJECTED
    unsaid = Reason.SUCCEEDED if result.subtype == BY_EXIT_CODE else Reason.NO_VERDICT
    return WORDS.get(_in_json(said), unsaid)


def _is_passed(line: str) -> bool:
    """Does a line say that the work passed, and no more that would take it back?"""
    found = PASSED.fullmatch(line)
    return found is not None and not _takes_back(found["said"] or "")


def _takes_back(words: str) -> bool:
    return TAKEN_BACK.search(NONE_OF_IT.sub("", words)) is not None


def _in_json(text: str) -> str:
    """Return the `verdict` (or `qa`) of the object with which a text ends: its own, not one of a part of it.

    One that is told twice, and not the same, is none, nor is one that the rest of the object takes back.
    """
    text = text.strip()
    for begin in OBJECT.finditer(text):
        try:
            told, end = json.JSONDecoder(object_pairs_hook=tuple).raw_decode(text, begin.end() - 1)
        except (ValueError, RecursionError):
            continue
        if end == len(text):
            verdicts = {str(value).lower() for name, value in told if name in KEYS}
            verdict = verdicts.pop() if len(verdicts) == 1 else ""
            is_taken_back = verdict == "passed" and any(_contradicts(*pair) for pair in _pairs("", told))
            return "" if is_taken_back else verdict
    return ""


def _pairs(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the values within one that was read with objects as tuples of pairs, each with the key that it is under."""
    yield name, value
    if isinstance(value, tuple):
        for key, inner in value:
            yield from _pairs(key, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _pairs(name, inner)


def _contradicts(name: str, value: Any) -> bool:
    """Does a value of an object that says `passed` say otherwise?"""
    if isinstance(value, str):
        return _takes_back(value) or (COUNTS_OF_TROUBLE.search(name) is not None and NONE.fullmatch(value) is None)
    if COUNTS_OF_TROUBLE.search(name):
        return bool(value)
    return SIGNS_OF_WORK.search(name) is not None and value in (0, False)
