// Begins: signs in, shows the page of the address, keeps it true.

import { get, isTokenMissing, keepToken, signals, token } from "/static/api.js";
import { costsPage } from "/static/costs_page.js";
import { announce, button, empty, h, prose } from "/static/dom.js";
import { executionPage } from "/static/execution_page.js";
import { historyPage } from "/static/history_page.js";
import { followNews, stopNews } from "/static/live.js";
import { newTask } from "/static/new_task.js";
import { overviewPage } from "/static/overview_page.js";
import { doing, keepTime } from "/static/parts.js";
import { signIn } from "/static/sign_in.js";
import { tasksPage } from "/static/tasks_page.js";
import { workflowPage } from "/static/workflow_page.js";
import { workflowsPage } from "/static/workflows_page.js";
import { workspacesPage } from "/static/workspaces_page.js";

const PAGES = [
  [/^\/?$/, "Overview", overviewPage],
  [/^\/tasks$/, "Tasks", tasksPage],
  [/^\/history$/, "History", historyPage],
  [/^\/executions\/([0-9a-f]{4,32})$/, "Execution", executionPage, "#/history"],
  [/^\/workflows$/, "Workflows", workflowsPage],
  [/^\/workflows\/([0-9a-f]{4,32})$/, "Workflow", workflowPage, "#/workflows"],
  [/^\/costs$/, "Costs", costsPage],
  [/^\/workspaces$/, "Workspaces", workspacesPage],
];

/** Stands where an address leads nowhere. */
const noPage = (place) => {
  place.append(h("div", { class: "panel" }, empty("There is no such page", "The address may be cut short or mistyped.", h("a", { href: "#/" }, "Go to the overview"))));
  return { refresh: async () => {}, close: () => {} };
};

const AFTER_NEWS = 300;
const AT_MOST_EVERY = 1500;
const OFTEN = 5000;
const SELDOM = 30000;

const main = document.getElementById("main");
const heading = h("h1", { tabindex: "-1" });
const trouble = h("div", { class: "notice bad", hidden: true }, h("p"), button("Try again", () => refresh(), { kind: "small" }));
let body = h("div");
let page = null;
let shown = 0;
let last = 0;
let timer = 0;

const title = (text) => {
  heading.textContent = text;
  document.title = `${text} – Agent runner`;
};

const show = (isFirst) => {
  const [path, query] = location.hash.replace(/^#/, "").split("?");
  const [match, name, make, above] = PAGES.map(([pattern, ...rest]) => [pattern.exec(path), ...rest]).find(([found]) => found) || [[], "No such page", noPage];
  page?.close();
  const next = h("div", { class: `page ${name.toLowerCase().replaceAll(" ", "-")}-page`, "aria-busy": "true" });
  body.replaceWith(next);
  body = next;
  shown += 1;
  const mine = shown;
  title(name);
  page = make(body, new URLSearchParams(query), match[1], (text) => { if (mine === shown) title(text); });
  for (const link of document.querySelectorAll("nav a")) {
    const isHere = link.getAttribute("href") === `#${path || "/"}`;
    const isAbove = link.getAttribute("href") === above;
    if (isHere || isAbove) link.setAttribute("aria-current", isHere ? "page" : "true");
    else link.removeAttribute("aria-current");
  }
  if (!isFirst) {
    scrollTo(0, 0);
    heading.focus({ preventScroll: true });
  }
  refresh();
};

const refresh = async () => {
  clearTimeout(timer);
  const mine = shown;
  last = Date.now();
  try {
    await page.refresh();
    if (mine === shown) told("");
  } catch (problem) {
    if (mine === shown && problem.status !== 401) told(problem.message);
  }
  if (mine !== shown) return;
  body.removeAttribute("aria-busy");
  plan(page.often ? Math.max(OFTEN, page.pace || 0) : SELDOM);
};

const told = (text) => {
  if (trouble.dataset.text !== text && text) announce(text);
  trouble.dataset.text = text;
  trouble.firstChild.replaceChildren(...prose(text));
  trouble.hidden = !text;
};

/** Look again in a while; a page that nobody sees waits until it is seen. */
const plan = (milliseconds) => {
  clearTimeout(timer);
  timer = setTimeout(() => (document.hidden ? plan(OFTEN) : refresh()), milliseconds);
};

const connected = (state) => {
  const place = document.getElementById("connection");
  const isLive = state === "open";
  if (place.dataset.state === "lost" && isLive) announce("The connection is back.");
  if (place.dataset.state === "open" && !isLive) announce("The connection to the service is lost. It is tried again.");
  place.dataset.state = isLive ? "open" : "lost";
  place.querySelector("span").textContent = isLive ? "Live" : "Reconnecting";
};

const begin = async () => {
  if (await isTokenMissing()) {
    signIn(() => enter(false));
    return;
  }
  try {
    await get("/api/projects");
  } catch (problem) {
    if (problem.status === 401) return;
  }
  enter();
};

/** Show the page; whoever has just signed in has the focus on its heading. */
const enter = (isFirst = true) => {
  document.getElementById("sign-out").hidden = !token();
  followNews();
  show(isFirst);
};

main.append(heading, trouble, body);
document.getElementById("new-task").addEventListener("click", doing(newTask));
document.getElementById("theme").addEventListener("click", () => announce(`${window.switchTheme()} colours`));
document.getElementById("sign-out").addEventListener("click", () => { keepToken(""); location.reload(); });
addEventListener("hashchange", () => { if (page) show(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden && page) plan(0); });
signals.addEventListener("news", () => { if (page) plan(Math.max(AFTER_NEWS, (page.pace || AT_MOST_EVERY) - (Date.now() - last))); });
signals.addEventListener("connection", (event) => connected(event.detail));
signals.addEventListener("signed-out", () => {
  stopNews();
  clearTimeout(timer);
  signIn(() => enter(false));
});
keepTime();
begin();
