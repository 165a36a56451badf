"""Statements about many agents at once: a graph of a thousand nodes is never looked through one by one."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from components.agent import SETTLED, AgentStatus, NodeKind, OnFailure, WorkflowStatus
from components.store_tables import agent_edges, agents, workflows

OVER = [str(status) for status in sorted(SETTLED)]
OPEN = [str(status) for status in AgentStatus if status not in SETTLED]
GONE_WRONG = [str(status) for status in sorted(SETTLED - {AgentStatus.COMPLETED})]
Condition = sa.ColumnElement[bool]


def lets_go_on(parent: Any) -> Condition:
    """Whether those that depend on a parent may go on: it is completed, or over and they are to go on without it."""
    is_over = sa.and_(parent.c.status.in_(OVER), parent.c.on_failure == str(OnFailure.CONTINUE))
    return sa.or_(parent.c.status == str(AgentStatus.COMPLETED), is_over)


def in_scope(workflow_id: str, children_of: str) -> Condition:
    """Whether an agent is of a workflow; with `children_of` only where it depends on that one."""
    if not children_of:
        return agents.c.workflow_id == workflow_id
    children = sa.select(agent_edges.c.child_id).where(agent_edges.c.parent_id == children_of)
    return agents.c.id.in_(children)


def _waits_for_nobody() -> Condition:
    parent, edge = agents.alias("parent"), agent_edges.alias("edge")
    waits = sa.select(sa.literal(1)).select_from(edge.join(parent, parent.c.id == edge.c.parent_id))
    return ~sa.exists(waits.where(edge.c.child_id == agents.c.id, ~lets_go_on(parent)).correlate(agents))


def _is_live() -> Condition:
    active = sa.select(workflows.c.id).where(workflows.c.status == str(WorkflowStatus.ACTIVE))
    return sa.or_(agents.c.workflow_id == "", agents.c.workflow_id.in_(active))


MAY_BEGIN = sa.or_(
    agents.c.status == str(AgentStatus.QUEUED),
    sa.and_(agents.c.status == str(AgentStatus.PENDING), _waits_for_nobody(), _is_live()),
)
"""Whether an agent's turn has come: it waits for nobody any more, and its workflow, where it has one, goes on."""


def is_below(agent_id: str) -> Condition:
    """Whether an agent is pending and cannot be ready any more because another one has gone wrong.

    The way down ends at one whose own children go on without it.
    """
    pending = str(AgentStatus.PENDING)
    child, middle = agents.alias("child"), agents.alias("middle")
    first = (
        sa.select(agent_edges.c.child_id.label("id"))
        .join(child, child.c.id == agent_edges.c.child_id)
        .where(agent_edges.c.parent_id == agent_id, child.c.status == pending)
        .cte("below", recursive=True)
    )
    edge, next_child = agent_edges.alias("next_edge"), agents.alias("next_child")
    below = first.union(
        sa.select(edge.c.child_id)
        .select_from(first)
        .join(middle, sa.and_(middle.c.id == first.c.id, middle.c.on_failure != str(OnFailure.CONTINUE)))
        .join(edge, edge.c.parent_id == first.c.id)
        .join(next_child, sa.and_(next_child.c.id == edge.c.child_id, next_child.c.status == pending))
    )
    return agents.c.id.in_(sa.select(below.c.id))


def _has_no_open_item() -> Condition:
    item = agents.alias("item")
    opened = sa.select(sa.literal(1)).where(item.c.map_id == agents.c.id, item.c.status.in_(OPEN)).correlate(agents)
    return ~sa.exists(opened)


HAS_NO_OPEN_ITEM = _has_no_open_item()
"""Whether all agents of a map are over."""


def open_map(workflow_id: str, map_id: str) -> Condition:
    """Whether an agent is a map at work of a workflow; with `map_id` only that one."""
    one = agents.c.id == map_id if map_id else agents.c.workflow_id == workflow_id
    return sa.and_(one, agents.c.kind == str(NodeKind.MAP), agents.c.status == str(AgentStatus.ACTIVE))


def _end_of_workflow() -> Any:
    workflow_id, now = sa.bindparam("workflow_id", type_=sa.Text), sa.bindparam("now", type_=sa.Text)

    def has(statuses: Collection[str]) -> Condition:
        of_it = sa.and_(agents.c.workflow_id == workflow_id, agents.c.status.in_(list(statuses)))
        return sa.exists(sa.select(sa.literal(1)).where(of_it))

    status = sa.case(
        (has([AgentStatus.FAILED.value]), str(WorkflowStatus.FAILED)),
        (has([AgentStatus.CANCELLED.value]), str(WorkflowStatus.CANCELLED)),
        else_=str(WorkflowStatus.COMPLETED),
    )
    where = (workflows.c.id == workflow_id, workflows.c.status == str(WorkflowStatus.ACTIVE), ~has(OPEN))
    return workflows.update().where(*where).values(status=status, ended_at=now, updated_at=now)


END_OF_WORKFLOW = _end_of_workflow().returning(workflows.c.status)
"""Ends an active workflow of which nothing is open any more; `workflow_id` and `now` are its parameters."""
