"""The dashboard in a real browser: a task from its first word to its diff, whatever breaks in the middle.

Pictures of it are kept in pytest's cache; the run says where.
"""

from __future__ import annotations

import signal
import socket
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from components.execution import Execution, Spend
from components.states import Door, ExecutionStatus
from components.store import Store
from tests.browser import NEEDS_CHROMIUM, SIZES, Open, kept_pictures, launched, opening, playwright, settled
from tests.server_process import Server, serving
from tests.waiting import until

expect = playwright.expect
PAGES = {"overview": "", "tasks": "tasks", "history": "history", "costs": "costs", "workspaces": "workspaces"}
WEIGHT = 200_000
FIRST_LOAD_MILLISECONDS = 1000
COUNTING = """
import time
for number in range(1, {first} + 1): print(f'line {{number}}', flush=True)
while not (here / 'gate').exists(): time.sleep(0.02)
for number in range({first} + 1, {last} + 1): print(f'line {{number}}', flush=True)
while not (here / 'end').exists(): time.sleep(0.02)
"""
EDITING = """
import time
open('README', 'a').write('a line of the agent\\n')
open('new.py', 'w').write('print(1)\\n')
print('\\x1b[31mred\\x1b[0m <b>bold</b>', flush=True)
while not (here / 'gate').exists(): time.sleep(0.02)
print('the second line', flush=True)
while True: time.sleep(0.05)
"""

pytestmark = [pytest.mark.timeout(240), NEEDS_CHROMIUM]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as made:
        yield made


@pytest.fixture(scope="module")
def pictures(pytestconfig: pytest.Config) -> Iterator[Path]:
    with kept_pictures(pytestconfig) as directory:
        yield directory


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path) as made:
        yield made


@pytest.fixture
def open_page(browser: Any, server: Server) -> Iterator[Open]:
    with opening(browser, server) as open_one:
        yield open_one


def start_task(page: Any, title: str, **fields: str) -> None:
    """Start a task with the form."""
    page.locator("#new-task").click()
    page.get_by_label("Title").fill(title)
    for label, text in fields.items():
        page.get_by_label(label).fill(text)
    page.get_by_role("button", name="Start now").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(title)


def texts(page: Any) -> list[str]:
    """Return the lines of the output that is shown."""
    return [str(one) for one in page.locator(".log-lines .line .text").all_inner_texts()]


def pulsing(page: Any) -> list[str]:
    """Return the states whose marks pulse."""
    moving = "one => getComputedStyle(one, '::before').animationName !== 'none'"
    return list(page.evaluate(f"[...document.querySelectorAll('.badge')].filter({moving}).map(one => one.textContent)"))


def counted(number: int) -> list[str]:
    return [f"line {one}" for one in range(1, number + 1)]


def entered(
    server: Server,
    number: int,
    status: ExecutionStatus,
    title: str,
    days_ago: float = 0.5,
    project: str = "/srv/shop",
    seconds: float = 90,
) -> None:
    """Enter executions that have ended into the history."""
    store = Store(f"sqlite:///{server.home / 'store.db'}")
    for at in range(number):
        end = datetime.now(UTC) - timedelta(days=days_ago, seconds=at)
        begun, ended = ((end - timedelta(seconds=back)).isoformat(timespec="milliseconds") for back in (seconds, 0))
        one = Execution(
            uuid.uuid4().hex, Door.RUN, project, f"{title}{at}", f"{title} {at}", role="qa", created_at=begun
        )
        store.add(one)
        store.move(one.id, ExecutionStatus.PENDING, ExecutionStatus.PREPARING)
        store.move(one.id, ExecutionStatus.PREPARING, ExecutionStatus.RUNNING, started_at=begun)
        store.spend([Spend(one.id, one.id, "qa_001", ended[:10], "sonnet", one.project, usd=0.5, seconds=80.0)])
        store.move(one.id, ExecutionStatus.RUNNING, ExecutionStatus.FINISHING)
        store.move(one.id, ExecutionStatus.FINISHING, status, completed_at=ended, reason=str(status))
    store.close()


def asked(server: Server, path: str) -> Any:
    """Return what the service answers."""
    with server.client() as client:
        return client.get(path).json()


def test_a_task_is_started_watched_stopped_and_its_diff_is_seen(
    server: Server, open_page: Open, pictures: Path
) -> None:
    server.play(EDITING)
    page = open_page()

    start_task(page, "Add a <b>line</b>", Description="Write it into README.")

    expect(page.locator(".line .text").first).to_have_text("red <b>bold</b>")
    expect(page.locator(".timeline .badge").last).to_have_text("running")
    expect(page.locator(".execution-head .badge")).to_have_text("running")
    assert pulsing(page) == ["running", "running"], "in the head, and the last of the timeline"
    expect(page.locator(".line b")).to_have_count(0)
    (server.directory / "gate").touch()
    expect(page.get_by_text("the second line")).to_be_visible()
    page.screenshot(path=pictures / "execution-desktop.png")
    page.get_by_role("tab", name="Changes").click()
    expect(page.locator(".file .path")).to_have_text(["README", "new.py"])
    expect(page.locator("tr.added")).to_have_text(["2+a line of the agent", "1+print(1)"])
    page.screenshot(path=pictures / "changes-desktop.png")
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Stop it").click()
    expect(page.locator(".execution-head .badge")).to_have_text("cancelled")
    expect(page.get_by_role("button", name="Do it again")).to_be_visible()
    expect(page.locator(".file .path")).to_have_text(["README", "new.py"])
    assert server.token() not in page.url
    assert page.evaluate("JSON.stringify([Object.values(localStorage), document.cookie])") == '[[],""]'
    assert pulsing(page) == []
    expect(page.locator(".facts-list")).to_contain_text("Started bythe service")
    expect(page.locator(".facts-list")).to_contain_text(f"Machine{socket.gethostname()}")
    page.get_by_role("tab", name="Checks").click()
    expect(page.get_by_role("heading", name="Not committed by the agent")).to_be_visible()
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page)
    assert found.violations_count == 0, found.generate_report()


def test_after_a_reload_in_the_middle_no_line_is_missing_or_doubled(server: Server, open_page: Open) -> None:
    server.play(COUNTING.format(first=40, last=80))
    page = open_page()
    start_task(page, "Count")
    expect(page.get_by_text("line 40", exact=True)).to_be_visible()

    page.reload()
    expect(page.get_by_text("line 40", exact=True)).to_be_visible()
    (server.directory / "gate").touch()

    expect(page.get_by_text("line 80", exact=True)).to_be_visible()
    assert texts(page) == counted(80)


def test_when_the_service_is_killed_the_page_goes_on_where_it_was(server: Server, open_page: Open) -> None:
    server.play(COUNTING.format(first=40, last=200))
    page = open_page()
    start_task(page, "Count")
    expect(page.get_by_text("line 40", exact=True)).to_be_visible()

    server.stop(signal.SIGKILL)
    expect(page.locator("#connection")).to_have_text("Reconnecting")
    (server.directory / "gate").touch()
    until(lambda: b"line 200" in next((server.home / "runs").glob("*/out")).read_bytes(), "the agent's last line")
    server.start()

    expect(page.get_by_text("line 200", exact=True)).to_be_visible()
    expect(page.locator("#connection")).to_have_text("Live")
    assert texts(page) == counted(200)
    (server.directory / "end").touch()
    expect(page.locator(".log-state")).to_contain_text("It ended")


def test_a_wrong_token_is_told_and_one_that_may_only_read_changes_nothing(server: Server, open_page: Open) -> None:
    server.play("print('no one should see this')")

    page = open_page(token=server.token("serve.read-token"))
    page.locator("#new-task").click()
    page.get_by_label("Title").fill("Not allowed")
    page.get_by_role("button", name="Start now").click()

    expect(page.locator("#task-problem")).to_contain_text("Sign in with the full token")
    page.keyboard.press("Escape")
    page.evaluate("sessionStorage.clear()")
    page.reload()
    page.get_by_label("Token").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#token-problem")).to_contain_text("Copy it again")
    assert "wrong" not in page.url


def test_before_there_is_a_token_nothing_is_asked_that_needs_one(server: Server, browser: Any) -> None:
    page = browser.new_page()
    refused: list[str] = []
    page.on("console", lambda said: refused.append(said.text) if said.type == "error" else None)

    page.goto(server.url)
    expect(page.get_by_label("Token")).to_be_focused()
    expect(page.locator("#token-help")).to_contain_text("HEADLESS_PM_HOME")
    page.get_by_label("Token").fill(server.token())
    page.keyboard.press("Enter")
    settled(page)

    assert refused == []
    page.close()


def test_without_tokens_nobody_is_asked_for_one(tmp_path: Path, browser: Any) -> None:
    with serving(tmp_path, "--no-token") as open_to_all:
        page = browser.new_page()
        page.goto(open_to_all.url)
        settled(page)
        expect(page.get_by_text("The queue is empty")).to_be_visible()
        page.close()


def test_an_address_that_leads_nowhere_is_told(open_page: Open) -> None:
    page = open_page("executions/zzzz")
    expect(page.get_by_text("There is no such page")).to_be_visible()

    page.evaluate("location.hash = '#/nowhere'")
    expect(page.get_by_role("heading", level=1)).to_have_text("No such page")
    page.get_by_role("link", name="Go to the overview").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


def test_a_wrong_field_of_a_new_task_is_told_at_that_field(server: Server, open_page: Open) -> None:
    page = open_page(size="phone")
    page.locator("#new-task").click()
    page.get_by_label("Title").fill("Write it down")
    page.get_by_label("Documentation").fill("/etc/passwd")
    page.get_by_label("Model").fill("sonnet")
    tops = {page.get_by_role("button", name=name).bounding_box()["y"] for name in ("Cancel", "Start now")}
    assert len(tops) == 1, "the buttons stand in one row, also on a phone"
    page.get_by_role("button", name="Add to board").click()

    expect(page.locator("#docs_path-problem")).to_contain_text("Documentation: not a path within the repository")
    expect(page.get_by_label("Documentation")).to_be_focused()
    expect(page.locator("#task-problem")).to_be_empty()
    page.get_by_label("Documentation").fill("docs/it.md")
    page.get_by_role("button", name="Add to board").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Tasks")
    assert asked(server, "/api/tasks")["tasks"][0]["model"] == "sonnet"


def test_all_of_it_can_be_done_with_the_keyboard(server: Server, open_page: Open) -> None:
    server.play(EDITING)
    page = open_page()

    def reach(name: str) -> None:
        """Press Tab until the focus is on what has this name."""
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.textContent.trim()") == name:
                return
        raise AssertionError(f"{name} cannot be reached with Tab")

    page.locator("#skip").focus()
    reach("New task")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Title")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#new-task")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Title")).to_be_focused()
    page.keyboard.type("By keyboard")
    reach("Start now")
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", level=1)).to_have_text("By keyboard")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    reach("Output")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Changes")).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Changes")).to_be_visible()
    page.evaluate("document.querySelector('h1').focus()")
    reach("Stop")
    page.keyboard.press("Enter")
    reach("Stop it")
    page.keyboard.press("Enter")
    expect(page.locator(".execution-head .badge")).to_have_text("cancelled")


def test_whoever_uses_the_keyboard_keeps_their_place_when_it_is_drawn_anew(server: Server, open_page: Open) -> None:
    """Once the focus fell to the top of the page after signing in, starting, stopping and removing."""
    server.play(EDITING)
    with server.client() as api:
        titles = {"One": "minor", "Two": "major", "Three": "major"}
        ids = {
            title: api.post("/api/tasks", json={"title": title, "complexity": complexity}).json()["id"]
            for title, complexity in titles.items()
        }
    page = open_page("tasks")
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_be_focused()

    def press(name: str) -> None:
        page.get_by_role("button", name=name, exact=True).focus()
        page.keyboard.press("Enter")

    def card(title: str) -> Any:
        return page.locator(f".card[data-item='{ids[title]}']")

    def confirm(name: str) -> None:
        page.get_by_role("button", name=name).focus()
        page.keyboard.press("Enter")

    upper, lower = page.locator(".column").first.locator(".card .strong").all_inner_texts()[:2]
    press(f"Remove: {upper}")
    confirm("Remove it")
    expect(card(upper)).to_have_count(0)
    expect(card(lower)).to_be_focused()
    expect(page.locator("#announcer")).to_have_text("The task is removed.")
    press(f"Start: {lower}")
    expect(page.locator("section", has=page.locator("#column-running")).locator(".card")).to_be_focused()
    (last,) = set(titles) - {upper, lower}
    press(f"Remove: {last}")
    confirm("Remove it")
    expect(card(last)).to_have_count(0)
    expect(heading).to_be_focused()

    page.get_by_role("link", name=lower).focus()
    page.keyboard.press("Enter")
    press("Stop")
    confirm("Stop it")
    expect(page.locator(".execution-head .badge")).to_have_text("cancelled")
    expect(page.locator(".execution-head .facts")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_every_page_fits_and_breaks_no_rule_of_accessibility(
    server: Server, open_page: Open, pictures: Path, size: str, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    server.play(EDITING)
    for status in (ExecutionStatus.SUCCEEDED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED):
        entered(server, 3, status, f"An old one that has {status}", days_ago=1.5)
    page = open_page(size=size, color_scheme=scheme, reduced_motion="reduce")
    start_task(page, "Something whose title is long enough to need a second line on a phone")
    places = {**PAGES, "execution": page.url.partition("#/")[2]}
    expect(page.locator(".line .text").first).to_be_visible()

    for name, path in places.items():
        page.goto(f"{server.url}/#/{path}")
        if name in PAGES:
            expect(page.get_by_role("heading", level=1)).to_have_text(name.capitalize())
        settled(page)
        expect(page.locator("main :is(.badge, .card, .chart svg)").first).to_be_visible()
        page.screenshot(path=pictures / f"{name}-{size}-{scheme}.png", full_page=True)
        found = axe.run(page)
        assert found.violations_count == 0, f"{name}: {found.generate_report()}"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than the screen"
    page.locator("#new-task").click()
    found = axe.run(page)
    assert found.violations_count == 0, f"new task: {found.generate_report()}"
    page.screenshot(path=pictures / f"new-task-{size}-{scheme}.png")


def test_the_first_load_is_light_quick_and_asks_nobody_else(server: Server, browser: Any) -> None:
    entered(server, 20, ExecutionStatus.SUCCEEDED, "An old one")
    loaded = "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
    times, weights, addresses = [], [], set()
    for _ in range(3):
        context = browser.new_context(viewport=SIZES["desktop"])
        page = context.new_page()
        page.goto(f"{server.url}/health")
        page.evaluate("token => sessionStorage.setItem('agent-runner.token', token)", server.token())
        page.goto(server.url)
        settled(page)
        times.append(page.evaluate("performance.now()"))
        entries = page.evaluate(f"{loaded}.map((one) => [one.name, one.encodedBodySize])")
        weights.append(sum(size for _, size in entries))
        addresses |= {name.removeprefix(server.url).split("/")[0] for name, _ in entries}
        context.close()

    assert min(weights) > 50_000
    assert max(weights) < WEIGHT
    assert min(times) < FIRST_LOAD_MILLISECONDS
    assert addresses == {""}


def test_nothing_that_is_not_a_file_of_ours_is_run(server: Server, open_page: Open) -> None:
    server.play("print('<img src=x onerror=\"document.title=1\">')")
    page = open_page()
    start_task(page, "<script>document.title='owned'</script>")

    expect(page.locator(".line .text").first).to_have_text('<img src=x onerror="document.title=1">')
    expect(page.locator("main img, main script")).to_have_count(0)
    refused = """() => { try { document.body.innerHTML = '<img>'; return false } catch { return true } }"""
    assert page.evaluate(refused)
    assert "unsafe-inline" not in page.locator("meta[http-equiv]").get_attribute("content")
    assert page.title().startswith("<script>document.title")


def test_a_long_summary_is_boxed_and_cut_to_a_few_lines(server: Server, open_page: Open) -> None:
    """Once nearly the whole output stood above everything else."""
    server.play("for n in range(60): print('told', n)")
    with server.client() as api:
        task = api.post("/api/tasks", json={"title": "Talk", "complexity": "minor"}).json()["id"]
        execution = api.post(f"/api/tasks/{task}/run").json()["execution_id"]
        until(lambda: api.get(f"/api/tasks/{task}").json()["status"] == "review", "the end", 60)
    page = open_page(f"executions/{execution}")
    box = page.locator(".panel.summary")

    assert len(box.locator("p").inner_text().splitlines()) <= 4
    box.get_by_text("More of the summary").click()

    expect(page.get_by_role("region", name="The whole summary")).to_contain_text("told 59")


def test_a_command_in_a_message_is_shown_as_code_without_its_backticks(open_page: Open) -> None:
    page = open_page()

    page.evaluate("import('/static/parts.js').then(({ notice }) => notice('Is `serve <b>` running?', 'bad'))")

    expect(page.locator("#notices p")).to_have_text("Is serve <b> running?")
    expect(page.locator("#notices code")).to_have_text("serve <b>")


def test_the_history_is_filtered_and_the_filter_is_kept_in_the_address(server: Server, open_page: Open) -> None:
    entered(server, 60, ExecutionStatus.SUCCEEDED, "Good")
    entered(server, 2, ExecutionStatus.FAILED, "Bad")
    page = open_page("history")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(50)

    page.get_by_role("button", name="Show older ones").click()
    expect(rows).to_have_count(62)
    expect(page.get_by_role("checkbox", name="pending 0")).to_be_visible()
    page.get_by_role("checkbox", name="failed 2").check()
    expect(rows).to_have_count(2)
    page.reload()
    expect(rows).to_have_count(2)
    page.get_by_label("Search").fill("bad 1")
    expect(rows).to_have_count(1)
    page.get_by_label("Search").fill("no such thing")
    expect(page.get_by_text("Nothing fits")).to_be_visible()


def test_the_charts_tell_in_a_table_what_they_show(server: Server, open_page: Open) -> None:
    entered(server, 4, ExecutionStatus.SUCCEEDED, "Good", days_ago=0.0)
    entered(server, 1, ExecutionStatus.FAILED, "Bad", days_ago=0.0)
    page = open_page("costs")

    chart = page.locator("figure", has_text="Outcomes per day")
    chart.get_by_text("Show as a table").click()

    expect(chart.locator("rect.bar")).to_have_count(2)
    expect(chart.get_by_role("row").last).to_contain_text("410")
    expect(page.locator("figure", has_text="Cost per day").locator("figcaption")).to_contain_text("$2.50 in 30 days")


def test_a_workspace_with_unsaved_work_is_removed_only_with_a_snapshot(server: Server, open_page: Open) -> None:
    server.play("open('draft.txt', 'w').write('unsaved')\nraise SystemExit(3)")
    page = open_page()
    start_task(page, "Leave something")
    expect(page.locator(".execution-head .badge")).to_have_text("failed")

    page.get_by_role("link", name="Workspaces").click()
    page.get_by_role("button", name="Remove").click()
    expect(page.locator("dialog")).to_contain_text("draft.txt")
    page.get_by_role("button", name="Keep a snapshot and remove it").click()

    expect(page.get_by_text("No workspaces")).to_be_visible()
    expect(page.locator("#notices")).to_contain_text("is in refs/")


def test_the_rate_of_success_is_of_what_succeeded_or_failed(server: Server, open_page: Open) -> None:
    for number, status in ((3, ExecutionStatus.SUCCEEDED), (1, ExecutionStatus.FAILED), (6, ExecutionStatus.CANCELLED)):
        entered(server, number, status, status, days_ago=0.0)
    page = open_page()

    expect(page.locator(".key", has_text="Succeeded")).to_contain_text("75%3 of 4 that succeeded or failed, in 7 days")


def test_what_takes_longer_than_all_before_it_is_not_given_a_time_left(server: Server, open_page: Open) -> None:
    server.play(EDITING)
    page = open_page()
    start_task(page, "Without end")
    row = asked(server, "/api/agent-runtime/executions")["executions"][0]
    entered(server, 3, ExecutionStatus.SUCCEEDED, "Quick", project=row["repository"], seconds=0.5)
    page.get_by_role("link", name="Overview").click()

    expect(page.locator(".card")).to_contain_text("longer than usual")
    expect(page.locator(".card .progress")).to_have_count(0)


def test_an_empty_service_says_how_to_begin(open_page: Open) -> None:
    page = open_page()

    expect(page.get_by_text("Nothing is at work")).to_be_visible()
    expect(page.get_by_text("The queue is empty")).to_be_visible()
    page.get_by_role("link", name="Tasks", exact=True).click()
    expect(page.get_by_text("No task yet")).to_be_visible()


def test_the_colours_can_be_switched_and_stay_switched(open_page: Open) -> None:
    page = open_page(color_scheme="light")

    page.get_by_role("button", name="Switch between light and dark").click()
    page.reload()

    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
