"""What the calls about workflows and agents are given and give, as OpenAPI tells it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, WithJsonSchema

from components.agent import AgentStatus, NodeKind, OnFailure, WorkflowStatus
from components.server.schemas import Given, LongText, Title, Word, said
from components.states import Complexity, Level, Role
from components.workflow_format import FILE_KEYS, LIMIT_TABLE, NODE

NodeGiven = Annotated[dict[str, Any], WithJsonSchema(dict(NODE))]


class NewWorkflow(Given):
    """A graph of agents, with all its nodes or with those that are known yet."""

    name: Title
    description: LongText = ""
    project: Word = Field(default="", description="A name of GET /api/projects; may be left out where there is one.")
    branch: Word = Field(default="", description="The branch that the first nodes begin at.")
    on_failure: OnFailure = OnFailure.FAIL
    defaults: Annotated[dict[str, Any], WithJsonSchema(dict(FILE_KEYS["defaults"]))] = Field(default_factory=dict)
    nodes: list[NodeGiven] = Field(default_factory=list, max_length=10_000)


class NewAgent(Given):
    """An agent to be spawned."""

    task: Annotated[LongText, said] = Field(description="What is to be done.")
    parent: Word = Field(default="", description="The id of the agent whose work it builds upon.")
    project: Word = Field(default="", description="A name of GET /api/projects; without it the parent's.")
    role: Role = Role.BACKEND_DEV
    level: Level | None = None
    complexity: Complexity = Complexity.MAJOR
    title: Title | None = None
    priority: int = Field(default=100, ge=0, le=1_000_000)
    limits: Annotated[dict[str, Any], WithJsonSchema(dict(LIMIT_TABLE))] = Field(default_factory=dict)


class Answer(Given):
    """What a person says to an approval."""

    comment: LongText = ""


class AgentShown(BaseModel):
    """An agent: a node of a workflow, or one that was spawned alone."""

    id: str
    workflow_id: str
    node: str
    kind: NodeKind
    role: str
    level: str
    complexity: str
    title: str
    task: str
    priority: int
    on_failure: OnFailure
    status: AgentStatus
    reason: str
    attempt: int
    needs: list[str] = Field(
        description="The nodes that it depends on; of one that was spawned alone the parents' ids."
    )
    execution_id: str
    host: str = Field(description="The id of its machine.")
    host_name: str = Field(description="What people call its machine; the id where that is not known here.")
    workspace: str
    branch: str
    result: str
    model: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_usd: float
    seconds: float
    error: str
    created_at: str
    queued_at: str
    started_at: str
    ended_at: str


class WorkflowListed(BaseModel):
    """A workflow; `counts` are how many agents of each status it has."""

    id: str
    name: str
    description: str
    project: str
    status: WorkflowStatus
    error: str
    created_at: str
    updated_at: str
    started_at: str
    ended_at: str
    counts: dict[str, int]


class WorkflowShown(WorkflowListed):
    """A workflow with its agents, and as a Mermaid flowchart."""

    agents: list[AgentShown]
    mermaid: str


class WorkflowList(BaseModel):
    """Workflows, newest first."""

    workflows: list[WorkflowListed]


class AgentList(BaseModel):
    """Agents that were spawned, newest first."""

    agents: list[AgentShown]


class Called(BaseModel):
    """It was called off; `at_work` agents were asked to end."""

    status: Literal["cancelled", "asked"]
    at_work: int


class Again(BaseModel):
    """So many agents will be done again."""

    agents: int
