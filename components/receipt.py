"""The receipt of a run: `result.json` in its directory, which says what was done and how that is known.

It is written when the run is judged, and added to as the work is examined and handed on. A part that is added again
replaces what it was before, so a step that is run again changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from components import durable
from components.evidence import Evidence
from components.model import Verdict
from components.redact import listed, plain, shorten, within
from components.run_directory import RECEIPT, RunDirectory

if TYPE_CHECKING:
    from components.checking import Checked

VERSION = 1
PARAGRAPH_LETTERS = 1500
SUBJECT_LETTERS = 80
SUBJECTS = 3
WARNING_LETTERS = 300

Parts = Mapping[str, Any]


def read(run: RunDirectory) -> dict[str, Any]:
    """Return the receipt so far; empty where there is none that can be read."""
    try:
        data = json.loads((run.path / RECEIPT).read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def add(run: RunDirectory, **parts: Any) -> None:
    """Add parts to the receipt of a run, durably; a run without a directory has none."""
    if run.path.is_dir():
        data = {"version": VERSION, **read(run), **parts}
        content = json.dumps(data, indent=2, ensure_ascii=False).encode(errors="replace")
        durable.write(run.path / RECEIPT, content)


def warn(run: RunDirectory, *warnings: str) -> None:
    """Add warnings to the receipt, each once."""
    if warnings:
        add(run, warnings=list(dict.fromkeys([*read(run).get("warnings", []), *warnings])))


def evidence_part(found: Evidence, redact: Callable[[str], str]) -> dict[str, Any]:
    """Return evidence as the receipt keeps it: messages and file names may hold a secret."""
    return {name: _without_secrets(value, redact) for name, value in asdict(found).items()}


def _without_secrets(value: Any, redact: Callable[[str], str]) -> Any:
    return within(value, lambda text: redact(plain(text)))


def has_said(data: Parts) -> bool:
    """Did the agent say anything at all?"""
    return bool(str((data.get("result") or {}).get("text") or "").strip())


def checks_part(checked: Checked, redact: Callable[[str], str]) -> dict[str, Any]:
    """Return what the checks said as the receipt keeps it: a command may hold a secret."""
    run = [_without_secrets(asdict(end), redact) for end in checked.ends]
    return {"run": run, "not_run": _without_secrets(checked.not_run, redact)}


def verdict_part(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as the receipt keeps it."""
    return asdict(verdict)


def paragraph(data: Parts) -> str:
    """Return a receipt in a few sentences for a person, at most 1500 characters; "" where it tells nothing."""
    sentences = [
        _work(data.get("evidence") or {}),
        _checks(data.get("checks") or {}),
        _published(data.get("published") or {}),
        _used(data),
        *(f"Note: {shorten(warning, WARNING_LETTERS).rstrip('.')}." for warning in data.get("warnings") or ()),
    ]
    return shorten(" ".join(plain(sentence) for sentence in sentences if sentence), PARAGRAPH_LETTERS)


def _work(found: Parts) -> str:
    if not found:
        return ""
    diff = found["diff"]
    trouble = f" Unfinished: {'; '.join(found['trouble'])}." if found["trouble"] else ""
    if not (found["commits"] or found["leftovers"]):
        return f"No commits and no changes were found.{trouble}"
    subjects = "; ".join(
        f"{commit['id'][:8]} {shorten(commit['subject'], SUBJECT_LETTERS)}" for commit in found["commits"][:SUBJECTS]
    )
    made = count(len(found["commits"]), "commit") + (f" ({subjects})" if subjects else "")
    size = f"{count(diff['files'], 'file')}, +{diff['insertions']} -{diff['deletions']}"
    left = f"; not committed by the agent: {listed(found['leftovers'])}" if found["leftovers"] else ""
    return f"Work: {made}, {size}{left}.{trouble}"


def _checks(checks: Parts) -> str:
    told = [f"{end['name']} {_ended(end)}" for end in checks.get("run") or ()]
    if not_run := checks.get("not_run"):
        told.append(f"not run: {listed(not_run)}")
    return f"Checks: {', '.join(told)}." if told else ""


def _ended(end: Parts) -> str:
    how = "passed" if end["exit_code"] == 0 else end["why"] or f"ended with exit code {end['exit_code']}"
    return f"{how} ({end['seconds']:.0f} s)"


def _published(published: Parts) -> str:
    told = []
    if published.get("wip"):
        told.append(f"what was left is committed as {published['wip'][:8]}")
    if published.get("remote"):
        told.append(f"pushed to {published['remote']} as {published['branch']}")
    if published.get("pull_request"):
        told.append(f"pull request {published['pull_request']}")
    if conflicts := published.get("conflicts"):
        told.append(f"conflicts with {published['base']} in: {listed(conflicts, 10)}")
    return f"{'; '.join(told).capitalize()[:1]}{'; '.join(told)[1:]}." if told else ""


def _used(data: Parts) -> str:
    result = data.get("result") or {}
    tokens = (result.get("input_tokens", 0), result.get("output_tokens", 0))
    if not any(tokens):
        return ""
    calls = count(result.get("tool_calls", 0), "tool call")
    return f"Used: {tokens[0]} tokens in, {tokens[1]} out, {calls}, {count(result.get('num_turns', 0), 'turn')}."


def count(number: int, what: str) -> str:
    """Return a number of things in words."""
    return f"1 {what}" if number == 1 else f"{number} {what}s"


def denied_tools(data: Parts) -> Sequence[str]:
    """Return the tools that the agent was not allowed to use."""
    return list(dict.fromkeys((data.get("result") or {}).get("denied_tools") or ()))


def written_outside(data: Parts) -> Sequence[str]:
    """Return the files that the agent wrote outside of its workspace."""
    return list(data.get("written_outside") or ())
