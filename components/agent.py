"""Agents as records: nodes of a workflow, or spawned one by one; what each is to do, and where that stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from components.short_id import SHORT


class NodeKind(StrEnum):
    """What a node is: work of an agent, a question to a person, or the same work on each item of a list."""

    AGENT = "agent"
    APPROVAL = "approval"
    MAP = "map"


class OnFailure(StrEnum):
    """What becomes of those that depend on one that failed: they fail too, are skipped, or go on without it."""

    FAIL = "fail"
    SKIP = "skip"
    CONTINUE = "continue"


class WorkflowStatus(StrEnum):
    """Where a workflow stands; while it is pending, nodes may be added."""

    PENDING = "pending"
    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AgentStatus(StrEnum):
    """Where an agent stands: pending, active, then completed or failed; four more tell a person what it waits for.

    Queued: its turn has come, and a worker will take it. Awaiting: a person has to approve. Skipped: it was never
    begun, because one that it depends on failed. Cancelled: a person wanted its end.
    """

    PENDING = "pending"
    QUEUED = "queued"
    AWAITING = "awaiting"
    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


SETTLED = frozenset({AgentStatus.COMPLETED, AgentStatus.FAILED, AgentStatus.SKIPPED, AgentStatus.CANCELLED})
"""It is over, unless somebody asks for it once more."""
AGENT_MOVES: Mapping[AgentStatus, frozenset[AgentStatus]] = MappingProxyType(
    {
        AgentStatus.PENDING: SETTLED | {AgentStatus.QUEUED, AgentStatus.AWAITING, AgentStatus.ACTIVE},
        AgentStatus.QUEUED: SETTLED | {AgentStatus.ACTIVE},
        AgentStatus.AWAITING: SETTLED,
        AgentStatus.ACTIVE: SETTLED | {AgentStatus.ACTIVE},
        AgentStatus.COMPLETED: frozenset(),
        **dict.fromkeys(SETTLED - {AgentStatus.COMPLETED}, frozenset({AgentStatus.PENDING, AgentStatus.ACTIVE})),
    }
)
"""Which status may follow which.

From active to active another machine takes it over, as its next attempt. A map that is asked for once more is active
at once: it has its agents already.
"""

PRIORITY = 100


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent. Of a workflow it is the `node` of that name; one that was spawned alone has no `workflow_id`.

    `attempt` fences: whoever works under another one may record nothing. `queue_key` is the key under which a queue
    knows this attempt. `settings` is a JSON table of settings by name. `over` is the JSON list of a map, or the node
    that puts it out; `item` is the JSON item that this agent is for, and `map_id` its map. `commits` are where what
    it left stands, for its children to begin at (`COMMIT@BRANCH`, blanks between): its own, or its parents' where it
    made none. `result` is the agent's last message. `reason` is a word of `Reason`, or why it was never begun. Times
    are UTC in ISO 8601, money is USD.
    """

    id: str
    workflow_id: str = ""
    map_id: str = ""
    node: str = ""
    kind: NodeKind = NodeKind.AGENT
    role: str = ""
    level: str = ""
    complexity: str = ""
    title: str = ""
    task: str = ""
    settings: str = ""
    priority: int = PRIORITY
    on_failure: OnFailure = OnFailure.FAIL
    over: str = ""
    item: str = ""
    project: str = ""
    branch_from: str = ""
    config_file: str = ""
    status: AgentStatus = AgentStatus.PENDING
    reason: str = ""
    attempt: int = 1
    queue_key: str = ""
    execution_id: str = ""
    host: str = ""
    workspace: str = ""
    branch: str = ""
    commits: str = ""
    result: str = ""
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float = 0.0
    seconds: float = 0.0
    error: str = ""
    created_at: str = ""
    updated_at: str = ""
    queued_at: str = ""
    started_at: str = ""
    ended_at: str = ""

    @property
    def short_id(self) -> str:
        """The id as people see and type it."""
        return self.id[:SHORT]

    @property
    def name(self) -> str:
        """What people call it: its node, or its id."""
        return self.node or self.short_id


@dataclass(frozen=True, slots=True)
class Workflow:
    """A graph of agents. `project` is what a person named, a path where it was one; `source` is the graph as JSON."""

    id: str
    name: str
    description: str = ""
    project: str = ""
    status: WorkflowStatus = WorkflowStatus.PENDING
    source: str = ""
    error: str = ""
    created_at: str = ""
    updated_at: str = ""
    started_at: str = ""
    ended_at: str = ""

    @property
    def short_id(self) -> str:
        """The id as people see and type it."""
        return self.id[:SHORT]


@dataclass(frozen=True, slots=True)
class AgentMove:
    """One move of one agent. Ids rise in the order in which moves became visible: followers remember the last."""

    id: int
    agent_id: str
    workflow_id: str
    node: str
    before: str
    after: AgentStatus
    reason: str
    attempt: int
    at: str
