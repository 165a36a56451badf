"""The settings of the queue: what is taken, and what is said of what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.config import Config, load
from components.errors import ConfigError
from components.queue_database import url_of
from components.schedule_kind import Schedule


def read(directory: Path, text: str) -> Config:
    file = directory / "config.yaml"
    file.write_text(text)
    return load({"home": str(directory)}, {"HOME": str(directory)}, file=file).config


def test_a_schedule_is_a_task_or_a_workflow_by_a_cron_expression(tmp_path: Path) -> None:
    config = read(tmp_path, "schedules:\n  nightly: {cron: '0  3 * * 1-5', task: Tidy up, role: qa}\n")

    assert config.schedules == {"nightly": Schedule("nightly", "0 3 * * 1-5", task="Tidy up", role="qa")}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("schedules: {a: {cron: '0 3 * *', task: x}}", "a.cron is no cron expression"),
        ("schedules: {a: {cron: '0 3 * * *'}}", "a needs one of task and workflow"),
        ("schedules: {a: {cron: '0 3 * * *', task: x, workflow: y}}", "a needs one of task and workflow"),
        (
            "schedules: {a: {crn: '0 3 * * *', task: x}}",
            "a.crn is not known; write cron, task, workflow, role; did you",
        ),
        ("schedules: {a/b: {cron: '0 3 * * *', task: x}}", "'a/b' is not a name"),
        ("schedules: [a]", "not a table"),
        ("role_concurrency: {qa: many}", "qa has no whole number"),
        ("role_concurrency: {qa: -1}", "qa has no whole number"),
        ("worker_roles: [qa, qaa]", "'qaa' is not a role; write one of frontend_dev, backend_dev, qa"),
        ("worker_roles: backend", "did you mean backend_dev?"),
        ("role_concurrency: {qaa: 1}", "'qaa' is not a role"),
        ("schedules: {a: {cron: '0 3 * * *', task: x, role: qaa}}", "a.role: 'qaa' is not a role"),
        ("worker_ttl: 1", "from 2 to 86400"),
    ],
)
def test_a_mistake_is_told_with_its_remedy(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text + "\n")

    assert told in str(caught.value)


def test_the_queue_is_beside_the_history_where_that_is_on_a_server(tmp_path: Path) -> None:
    assert url_of(read(tmp_path, "")) == f"sqlite:///{tmp_path}/engine.db"
    assert url_of(read(tmp_path, "store: postgresql://db/x")) == "postgresql://db/x"
    assert url_of(read(tmp_path, "store: postgresql://db/x\nqueue: postgresql://db/y")) == "postgresql://db/y"


def test_limits_of_roles_come_from_the_environment_too(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "HEADLESS_PM_ROLE_CONCURRENCY": "qa=2,backend_dev=10"}

    assert load({"home": str(tmp_path)}, environ).config.role_concurrency == {"qa": 2, "backend_dev": 10}
