"""The service against its own OpenAPI description: whatever is sent, the answer is one that it tells of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from tests.server_process import Server, serving

ORDER = {"worker": "backend_dev", "repository": "shop", "task": "Print"}
EXAMPLES = 15
CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]


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
    named = told["components"]["schemas"]["ExecutionShown"]["properties"]
    assert set(whole) == set(named), "the description and the answer name other fields"


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
        case.call_and_validate(checks=CHECKS, headers=headers)

    fits()
