"""The service against its own OpenAPI description: whatever is sent, the answer is one that it tells of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    positive_data_acceptance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.server_process import Server, serving
from tests.waiting import until

ORDER = {"worker": "backend_dev", "repository": "shop", "task": "Print"}
EXAMPLES = 15
CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]
READING = [*CHECKS, positive_data_acceptance]
"""What holds of whatever only looks: what fits the description is not refused."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("serve"), HEADLESS_PM_MAX_CONCURRENT_AGENTS="1") as made:
        yield made


@pytest.fixture(scope="module")
def described(server: Server) -> Any:
    found = schemathesis.openapi.from_url(f"{server.url}/openapi.json", headers=server.headers)
    return found.exclude(path_regex="/stream$").exclude(path_regex="/execute$|/run$|/restart$")


@pytest.mark.timeout(400)
def test_every_answer_is_one_of_the_description(described: Any, server: Server) -> None:
    tried = []
    for found in described.get_all_operations():
        operation = found.ok()
        check(operation, server.headers)
        tried.append(operation.label)

    assert "POST /api/tasks" in tried
    assert len(tried) >= 15


def test_every_answer_has_a_shape(server: Server) -> None:
    with server.client() as api:
        told = api.get("/openapi.json").json()
        execution = api.post("/api/agent-runtime/execute", json=ORDER).json()["execution_id"]
        whole = api.get(f"/api/agent-runtime/executions/{execution}").json()
    bare = []
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            for status, answer in operation["responses"].items():
                for kind, content in answer.get("content", {}).items():
                    schema = content.get("schema", {})
                    if not {"$ref", "type"} & set(schema) or (kind == "application/json" and "$ref" not in schema):
                        bare.append((method, path, status))

    assert not bare
    assert [path for path, ways in told["paths"].items() if ways.get("get", {}).get("security") == []] == [
        "/health",
        "/ready",
    ], "these are answered without a token, and nothing else"
    named = told["components"]["schemas"]["ExecutionShown"]["properties"]
    assert set(whole) == set(named), "the description and the answer name other fields"


def test_the_events_of_a_stream_are_described(server: Server) -> None:
    """Once each was told to be a text, which it is not: it has fields, and a frame of JSON in one of them."""
    with server.client() as api:
        task = api.post("/api/tasks", json={"title": "Print"}).json()["id"]
        execution = until(lambda: _begun(api, task), "a place for it", 60)["execution_id"]
    described = schemathesis.openapi.from_url(f"{server.url}/openapi.json", headers=server.headers)

    for path, word in (("/api/tasks/{task_id}/stream", task), ("/api/executions/{execution_id}/stream", execution)):
        for view in ("raw", "lines"):
            operation = described[path]["GET"]
            case = operation.Case(path_parameters={path.split("{")[1].split("}")[0]: word}, query={"view": view})
            answer = case.call_and_validate(checks=READING, headers=server.headers)
            assert "event: exit" in answer.text


def _begun(api: httpx.Client, task: str) -> Any:
    answer = api.post(f"/api/tasks/{task}/run")
    return answer.json() if answer.is_success else None


def check(operation: Any, headers: dict[str, str]) -> None:
    """Send whatever fits the description of an operation, and what just does not."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    def fits(case: Any) -> None:
        case.call_and_validate(checks=READING if operation.method.upper() == "GET" else CHECKS, headers=headers)

    fits()
