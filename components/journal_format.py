"""The text of the journal: a flat JSON object that people read, with a checksum that notices a torn or edited one."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components import pm_wire
from components.model import Held, Task, Verdict, Workspace
from components.states import Complexity, Phase, Reason

VERSION = 2
AGENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
CLAIM = re.compile(r"[0-9a-f]{32}")
LEGACY = "legacy"
"""`taken_from` of a claim that the earlier runner's lock file tells of."""
ORPHAN = "orphan"
"""`taken_from` of a claim that only the source tells of."""


def dump(held: Held) -> bytes:
    """Return the journal's text."""
    data: dict[str, Any] = {
        "version": VERSION,
        "agent_id": held.agent_id,
        "task_id": held.task.id,
        "task_title": held.task.title,
        "phase": held.phase.value,
        "attempt": held.attempt,
        "locked_at": held.locked_at,
        "updated_at": held.updated_at,
        "session_id": held.session_id,
        "claim": held.claim,
        "taken_from": held.taken_from,
        "asked": held.asked,
        "begun": held.begun,
        "run": held.run,
        "worktree_path": str(held.workspace.path) if held.workspace else None,
        "branch_name": held.workspace.branch if held.workspace else None,
        "base_commit": held.workspace.base_commit if held.workspace else None,
        "repository": str(held.workspace.repository) if held.workspace else None,
        "is_worktree": held.workspace.is_worktree if held.workspace else None,
        "host": held.host,
        "boot_id": held.boot_id,
        "spent_usd": held.spent_usd,
        "waits": held.waits,
        "not_before": held.not_before,
        "verdict": asdict(held.verdict) if held.verdict else None,
        "reported": held.reported,
        "task_data": asdict(held.task),
    }
    data["checksum"] = checksum(data)
    return json.dumps(data, indent=2, ensure_ascii=False).encode(errors="replace") + b"\n"


def parse(content: bytes) -> Held:
    """Return what a journal says. Raises ValueError, saying why, for a text that may not be acted on.

    The earlier runner's files, which have no version, are understood as a claim that is to be made.
    """
    try:
        data = json.loads(content)
    except ValueError:
        raise ValueError("it is not whole JSON") from None
    if not isinstance(data, dict):
        raise ValueError("it is not a JSON object")
    try:
        return _parse_legacy(data) if "version" not in data else _parse_current(data)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a field is missing or wrong: {error}") from error


def checksum(data: dict[str, Any]) -> str:
    """Return the digest of all fields but `checksum` itself."""
    rest = {key: value for key, value in data.items() if key != "checksum"}
    text = json.dumps(rest, sort_keys=True, ensure_ascii=False).encode(errors="replace")
    return hashlib.sha256(text).hexdigest()[:16]


def _parse_current(data: dict[str, Any]) -> Held:
    if data["version"] != VERSION:
        raise ValueError(f"version {data['version']} is not version {VERSION}; a newer runner may have written it")
    if data.get("checksum") != checksum(data):
        raise ValueError("its checksum does not fit: it was torn or edited")
    if not CLAIM.fullmatch(data["claim"]):
        raise ValueError(f"claim {data['claim']!r} is no claim")
    return Held(
        task=Task(**{**data["task_data"], "complexity": Complexity(data["task_data"]["complexity"])}),
        agent_id=data["agent_id"],
        phase=Phase(data["phase"]),
        claim=data["claim"],
        session_id=str(uuid.UUID(data["session_id"])),
        attempt=int(data["attempt"]),
        taken_from=data["taken_from"],
        asked=bool(data.get("asked", True)),
        begun=bool(data.get("begun", True)),
        locked_at=data["locked_at"],
        updated_at=data["updated_at"],
        host=data["host"],
        boot_id=data["boot_id"],
        run=data["run"],
        workspace=_workspace(data) if data["worktree_path"] is not None else None,
        verdict=_verdict(data["verdict"]) if data["verdict"] else None,
        reported=data["reported"],
        spent_usd=float(data["spent_usd"]),
        waits=int(data.get("waits", 0)),
        not_before=float(data.get("not_before", 0.0)),
    )


def _workspace(data: dict[str, Any]) -> Workspace:
    path, repository = Path(data["worktree_path"]), Path(data["repository"])
    return Workspace(path, repository, data["branch_name"], data["base_commit"], data["is_worktree"])


def _verdict(data: dict[str, Any]) -> Verdict:
    return Verdict(**{**data, "reason": Reason(data["reason"])})


def _parse_legacy(data: dict[str, Any]) -> Held:
    """Read the shape `{"task_id", "task_title", "agent_id", "locked_at" (naive local time), ..., "task_data"}`."""
    given = {"id": data["task_id"], "title": data.get("task_title", ""), **(data.get("task_data") or {})}
    task = pm_wire.parse_task(given, strict=False)
    if str(data["task_id"]) != task.id:
        raise ValueError("task_id and task_data disagree")
    locked_at = datetime.fromisoformat(data["locked_at"]).astimezone(UTC).isoformat(timespec="milliseconds")
    held = Held(
        task=task,
        agent_id=data["agent_id"],
        phase=Phase.CLAIMING,
        claim=uuid.uuid4().hex,
        session_id=str(uuid.uuid4()),
        taken_from=LEGACY,
        locked_at=locked_at,
    )
    if data.get("worktree_path"):
        path = Path(data["worktree_path"])
        held = replace(held, workspace=Workspace(path, path, data.get("branch_name") or "", is_worktree=True))
    return held
