"""What an agent's message only shows: fenced and indented blocks, and what a line before announces as an example."""

from __future__ import annotations

import re

FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
INDENTED = re.compile(r" {4}| {0,3}\t")
VERDICT = re.compile(r"[^\w\n]*(?:\d{1,2}[.)]\s)?[^\w\n]*QA:|\s*\{", re.IGNORECASE)
"""A line that looks like a verdict: what is indented otherwise may be part of one."""
ANNOUNCES = re.compile(
    r"\b(?:for (?:example|instance)|e\.g\.|such as|one of|(?:the|this|a) (?:form|format|template|rule)"
    r"|last line|(?:has|have|had) to|must|should|shall|would|(?:ha)?ve been asked)\b[^.!?]*$|^\W*examples?\W*$",
    re.IGNORECASE,
)
"""The end of a line that announces an example or a rule; after a full stop it is a sentence of its own."""
SHOWN = ">"
"""What stands in place of a line that is only shown: it is one, so no line before it is the last."""


def left_out(text: str) -> str:
    """Return a message without what it only shows. One that is nothing but a fenced block says what is in that."""
    kept: list[str] = []
    fence = before = ""
    is_announced = False
    for line in _unwrapped(text.strip("\n").splitlines()):
        mark = FENCE.match(line)
        is_verdict = VERDICT.match(line) is not None
        is_announced = is_verdict and (is_announced or ANNOUNCES.search(before.rstrip()) is not None)
        if fence:
            fence = "" if mark and mark[1].startswith(fence) and not line.strip(" `~") else fence
        elif mark:
            fence = mark[1]
        elif not (is_announced or (is_verdict and INDENTED.match(line) and "{" not in line)):
            kept.append(line)
            before = line if line.strip() else before
            continue
        kept.append(SHOWN)
    return "\n".join(kept)


def _unwrapped(lines: list[str]) -> list[str]:
    """Return the lines within a fence that is around all of them, else all lines."""
    marks = [number for number, line in enumerate(lines) if FENCE.match(line)]
    is_wrapped = len(lines) > 2 and marks == [0, len(lines) - 1] and not lines[-1].strip(" `~")
    return lines[1:-1] if is_wrapped else lines
