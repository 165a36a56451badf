"""Workflows in the dashboard, in a real browser: drawn as they go on, answered, cancelled, done again."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser import NEEDS_CHROMIUM, SIZES, Open, kept_pictures, launched, opening, playwright, settled
from tests.integration.test_agents import kill_driver
from tests.server_process import Server, serving

expect = playwright.expect
PLAY = """
while "slowly" in prompt and not (here / "gate").exists():
    time.sleep(0.02)
name = "code.py" if "code.py" in prompt else "spec.md"
open(name, "w").write("x\\n")
print("It is written into " + name)
"""
CALCULATOR = [
    {"id": "design", "task": "slowly write spec.md", "role": "architect"},
    {"id": "right_so", "kind": "approval", "task": "Is spec.md what we want?", "needs": ["design"]},
    {"id": "implement", "title": "Implement it", "task": "write code.py", "needs": ["design", "right_so"]},
]
MANY = 2000
LONGEST_TASK_MILLISECONDS = 1000
LAYOUT = """async (nodes) => {
    const { arranged } = await import("/static/graph_layout.js");
    const { spots, ranks, breadth } = arranged(nodes);
    return { ranks, breadth, spots: Object.fromEntries([...spots].map(([name, it]) => [name, [it.rank, it.at]])) };
}"""
STALLS = """window.stalls = [];
new PerformanceObserver((list) => stalls.push(...list.getEntries().map((one) => one.duration)))
    .observe({ type: "longtask", buffered: true })"""

pytestmark = [pytest.mark.timeout(180), NEEDS_CHROMIUM]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as made:
        yield made


@pytest.fixture(scope="module")
def pictures(pytestconfig: pytest.Config) -> Iterator[Path]:
    with kept_pictures(pytestconfig) as directory:
        yield directory


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server"), play=PLAY) as made:
        yield made
        (made.directory / "gate").touch()
        kill_driver(made.home)


@pytest.fixture
def open_page(browser: Any, server: Server) -> Iterator[Open]:
    with opening(browser, server) as open_one:
        yield open_one


def entered(server: Server, name: str, nodes: list[dict[str, Any]]) -> str:
    """Enter a workflow, and return its id."""
    with server.client() as api:
        answer: httpx.Response = api.post("/api/workflows", json={"name": name, "nodes": nodes})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def state_of(page: Any) -> Any:
    return page.locator(".execution-head .badge")


def box(page: Any, node: str) -> Any:
    """Return what is drawn of a node."""
    return page.locator(f"svg a.node[data-name='{node}']")


def require_accessible(page: Any, what: str) -> None:
    """Fail where a rule of accessibility is broken, or the page is wider than the screen."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page)
    assert found.violations_count == 0, f"{what}: {found.generate_report()}"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{what} is wider than the screen"


def test_an_empty_list_says_how_a_workflow_is_made_and_its_entry_fits_a_phone(open_page: Open) -> None:
    page = open_page(size="phone")

    page.get_by_role("link", name="Workflows").click()

    expect(page.get_by_text("No workflow yet")).to_be_visible()
    expect(page.get_by_text("agent-runner workflow run")).to_be_visible()
    assert page.locator("nav").evaluate("nav => nav.scrollWidth <= nav.clientWidth")


def test_a_workflow_is_run_watched_and_approved(server: Server, open_page: Open, pictures: Path) -> None:
    workflow = entered(server, "calculator", CALCULATOR)
    page = open_page("workflows")
    page.get_by_role("link", name="calculator").click()
    expect(state_of(page)).to_have_text("pending")

    page.get_by_role("button", name="Run").click()
    expect(box(page, "design")).to_have_attribute("aria-label", "design, active")
    page.evaluate("window.wasNotReloaded = true")
    (server.directory / "gate").touch()

    expect(box(page, "design")).to_have_attribute("aria-label", "design, completed")
    expect(box(page, "design")).to_contain_text("completed")
    expect(box(page, "right_so")).to_contain_text("awaiting")
    page.locator("#notices").evaluate("(place) => place.replaceChildren()")
    question = page.get_by_role("listitem").filter(has_text="Is spec.md what we want?")
    question.get_by_label("Comment").fill("Leave out division")
    for size, viewport in SIZES.items():
        page.set_viewport_size(viewport)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            page.screenshot(path=pictures / f"workflow-{size}-{scheme}.png", full_page=True)
        require_accessible(page, f"the workflow on a {size}")
    question.get_by_role("button", name="Approve").click()

    expect(box(page, "implement")).to_contain_text("completed")
    expect(state_of(page)).to_have_text("completed")
    expect(page.get_by_text("3 of 3 nodes done")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="Is spec.md what we want?")).to_contain_text("Leave out division")
    assert page.evaluate("window.wasNotReloaded")
    box(page, "implement").click()
    node = page.get_by_role("region", name="implement")
    expect(node).to_contain_text("It is written into code.py")
    expect(node).to_contain_text(f"Machine{socket.gethostname()}")
    page.screenshot(path=pictures / "workflow-node-phone.png", full_page=True)
    node.get_by_role("link", name="See its output").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Implement it")
    page.get_by_role("link", name="implement", exact=True).click()
    expect(node).to_be_visible()
    assert page.url.endswith(f"#/workflows/{workflow}?node=implement")


def test_what_was_rejected_is_done_again_and_cancelled(server: Server, open_page: Open, pictures: Path) -> None:
    entered(server, "empty", [])
    gate = {"id": "gate", "kind": "approval", "task": "May it go on?"}
    after = {"id": "release", "task": "write code.py", "needs": ["gate"], "on_failure": "skip"}
    page = open_page(f"workflows/{entered(server, 'release', [gate, after])}", size="phone")

    page.get_by_role("button", name="Run").click()
    page.get_by_role("button", name="Reject gate").click()
    expect(state_of(page)).to_have_text("failed")
    expect(page.get_by_role("row").filter(has_text="gate").first).to_contain_text("it was rejected")
    page.screenshot(path=pictures / "workflow-rejected-phone.png", full_page=True)
    page.get_by_role("link", name="Workflows").click()
    for size, viewport in SIZES.items():
        page.set_viewport_size(viewport)
        expect(page.get_by_role("link", name="release")).to_be_visible()
        page.screenshot(path=pictures / f"workflows-{size}.png", full_page=True)
        require_accessible(page, f"the list on a {size}")
    page.get_by_role("link", name="empty").click()
    expect(page.get_by_text("It has no node yet")).to_be_visible()
    page.go_back()
    page.get_by_role("link", name="release").click()
    page.get_by_role("button", name="Retry what failed").click()

    expect(box(page, "gate")).to_contain_text("awaiting")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel it").click()
    expect(state_of(page)).to_have_text("cancelled")
    expect(page.get_by_role("button", name="Approve gate")).to_have_count(0)


def test_a_page_that_was_left_while_it_loads_writes_nothing_into_the_next_one(server: Server, open_page: Open) -> None:
    address = f"**/api/workflows/{entered(server, 'late', CALCULATOR)}"
    page = open_page("workflows")
    held: list[Any] = []
    page.route(address, lambda route: held.append(route))  # noqa: PLW0108 - playwright marks what it is given
    with page.expect_request(address):
        page.get_by_role("link", name="late").click()
    page.get_by_role("link", name="Tasks", exact=True).click()
    expect(page.get_by_text("No task yet")).to_be_visible()

    with page.expect_response(address):
        held[0].continue_()
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))")

    expect(page.get_by_role("heading", level=1)).to_have_text("Tasks")
    expect(page.locator(".graph")).to_have_count(0)


def test_with_the_token_that_may_only_read_nothing_is_offered(server: Server, open_page: Open) -> None:
    page = open_page(f"workflows/{entered(server, 'looked at', CALCULATOR)}", token=server.token("serve.read-token"))

    expect(page.get_by_role("button", name="Run")).to_be_disabled()
    expect(page.get_by_role("button", name="Cancel")).to_be_disabled()
    expect(page.get_by_text("This token may only read")).to_be_visible()


def test_the_arrow_keys_go_through_the_graph_and_enter_shows_a_node(server: Server, open_page: Open) -> None:
    page = open_page(f"workflows/{entered(server, 'keys', CALCULATOR)}")

    box(page, "design").focus()
    page.keyboard.press("ArrowRight")
    expect(box(page, "right_so")).to_be_focused()
    page.keyboard.press("Enter")

    expect(page.get_by_role("region", name="right_so")).to_contain_text("answered by a person")
    assert page.locator("svg a.node[tabindex='0']").count() == 1


def test_thousands_of_nodes_are_shown_by_their_steps_and_do_not_freeze_the_page(
    server: Server, open_page: Open, pictures: Path
) -> None:
    first: list[dict[str, Any]] = [{"id": "start", "task": "x"}]
    nodes = first + [
        {"id": f"n{at}", "task": "x", "needs": [f"n{at - 9}" if at > 9 else "start"]} for at in range(1, MANY)
    ]
    workflow = entered(server, "many", nodes)
    page = open_page("workflows")
    page.evaluate(STALLS)
    page.get_by_role("link", name="many").click()

    expect(page.get_by_text(f"{MANY:,} nodes in 224 steps")).to_be_visible()
    expect(page.get_by_role("table", name="Nodes").get_by_role("row")).to_have_count(101)
    page.get_by_role("button", name="Show more").click()
    expect(page.get_by_role("table", name="Nodes").get_by_role("row")).to_have_count(201)
    assert page.locator("svg a.node").count() == 0
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=pictures / "workflow-many-desktop.png")
    assert max(page.evaluate("stalls"), default=0) < LONGEST_TASK_MILLISECONDS
    page.goto(f"{server.url}/#/workflows/{workflow}?node=n1999")
    settled(page)
    expect(page.get_by_role("region", name="n1999")).to_contain_text("n1990")


def test_nodes_are_laid_out_behind_what_they_need_and_never_upon_each_other(open_page: Open) -> None:
    nodes = [
        {"name": f"n{at}", "needs": sorted({f"n{at * 7 // 11}", f"n{at * 5 // 13}", f"n{at - 1}"} if at % 5 else [])}
        for at in range(120)
    ]

    found = open_page().evaluate(LAYOUT, nodes)

    spots = found["spots"]
    assert set(spots) == {node["name"] for node in nodes}
    for node in nodes:
        needed = [spots[need][0] for need in node["needs"]]
        assert spots[node["name"]][0] == max(needed, default=-1) + 1
    by_rank: dict[int, list[float]] = {}
    for rank, at in spots.values():
        by_rank.setdefault(rank, []).append(at)
    for row in map(sorted, by_rank.values()):
        assert all(right - left > 0.999 for left, right in itertools.pairwise(row))
        assert row[0] >= 0.499
        assert row[-1] <= found["breadth"] - 0.499
