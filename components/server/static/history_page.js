// All executions, newest first, by what one looks for.

import { address, get } from "/static/api.js";
import { button, empty, h } from "/static/dom.js";
import { count, duration, money, words } from "/static/format.js";
import { badge, doing, elapsed, executionLink, moment, redraw, table } from "/static/parts.js";

const STATES = ["pending", "running", "succeeded", "failed", "cancelled", "interrupted"];
const GROUPS = { running: ["preparing", "running", "waiting", "finishing"] };
const ROLES = ["backend_dev", "frontend_dev", "qa", "architect", "pm"];
const AGES = [["", "all time"], ["1", "last 24 hours"], ["7", "last 7 days"], ["30", "last 30 days"]];
const PAGE = 50;

const field = (id, label, input) => h("div", { class: "field" }, h("label", { for: id }, label), input);

const choice = (id, options, chosen) => h("select", { id, name: id }, options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));

const filters = (given, projects) =>
  h("form", { class: "filters", role: "search", "aria-label": "Executions" },
    field("text", "Search", h("input", { id: "text", name: "text", type: "search", value: given.get("text") || "", placeholder: "title, id, error, summary" })),
    field("project", "Project", choice("project", [["", "all projects"], ...projects.map((one) => [one, one])], given.get("project") || "")),
    field("role", "Role", choice("role", [["", "all roles"], ...ROLES.map((one) => [one, words(one)])], given.get("role") || "")),
    field("age", "Begun", choice("age", AGES, given.get("age") || "")),
    h("fieldset", { class: "field states" }, h("legend", {}, "State"), STATES.map((one) =>
      h("label", { class: "chip" }, h("input", { type: "checkbox", name: "status", value: one, checked: given.getAll("status").includes(one) }), h("span", {}, one, " ", h("span", { class: "number", "data-count": one }))))));

const COLUMNS = [
  ["Execution", (one) => h("div", {}, executionLink(one.id, one.title, { "data-key": one.id, class: "strong" }), one.error && !["succeeded"].includes(one.status) && h("p", { class: "muted clamp" }, one.error)), "grow"],
  ["State", (one) => [badge(one.status), one.reason && one.reason !== one.status && h("span", { class: "muted" }, ` ${words(one.reason)}`)], ""],
  ["Project", (one) => one.project, ""],
  ["Role", (one) => words(one.role), ""],
  ["Agent", (one) => one.agent_id, ""],
  ["Began", (one) => moment(one.created_at), ""],
  ["Time", (one) => (!one.is_over && one.started_at ? elapsed(one.started_at) : one.seconds ? duration(one.seconds) : "–"), "right figure"],
  ["Cost", (one) => money(one.cost_usd), "right figure"],
];

const query = (given) => ({
  text: given.get("text"),
  project: given.get("project"),
  role: given.get("role"),
  status: given.getAll("status").flatMap((one) => GROUPS[one] || [one]),
  since: given.get("age") ? new Date(Date.now() - given.get("age") * 86400000).toISOString() : "",
});

/** The history. What is looked for is in the address, so that it can be kept and shared. */
export const historyPage = (place, given) => {
  const list = h("div");
  const total = h("p", { class: "muted", role: "status" });
  const more = button("Show older ones", doing(() => loadOlder()), { hidden: true });
  let rows = [];
  let older = [];
  let form = null;

  const load = (before = "") => get(address("/api/agent-runtime/executions", { ...query(given), before, limit: PAGE }));

  const show = () => {
    redraw(list, [...rows, ...older], (all) => {
      if (all.length) return table("Executions", COLUMNS, all);
      return given.size ? empty("Nothing fits", "No execution is like that. Take a filter away.", h("a", { href: "#/history" }, "Show all")) : empty("No history yet", "Every execution is kept here, with how it ended, what it cost and what it changed.");
    });
  };

  const showCounts = (counts) => {
    for (const one of form.querySelectorAll("[data-count]")) {
      const number = (GROUPS[one.dataset.count] || [one.dataset.count]).reduce((sum, name) => sum + (counts[name] || 0), 0);
      one.textContent = count(number);
    }
    const chosen = query(given).status;
    const sum = Object.entries(counts).reduce((all, [name, number]) => all + (!chosen.length || chosen.includes(name) ? number : 0), 0);
    total.textContent = `${count(sum)} found`;
    more.hidden = rows.length + older.length >= sum;
  };

  const loadOlder = async () => {
    const page = await load([...rows, ...older].at(-1).id);
    older = [...older, ...page.executions];
    show();
    showCounts(page.counts);
  };

  const changed = () => {
    const now = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    history.replaceState(null, "", now.size ? `#/history?${now}` : "#/history");
    given = now;
    older = [];
    doing(refresh)();
  };

  const begin = async () => {
    const { costs } = await get("/api/costs?by=project");
    form = filters(given, [...new Set(costs.map((one) => one.key))].sort());
    form.addEventListener("input", () => { clearTimeout(form.timer); form.timer = setTimeout(changed, 250); });
    form.addEventListener("submit", (event) => { event.preventDefault(); changed(); });
    place.append(form, total, list, h("p", {}, more));
  };

  const refresh = async () => {
    if (!form) await begin();
    const page = await load();
    rows = page.executions;
    const known = new Set(rows.map((one) => one.id));
    older = older.filter((one) => !known.has(one.id));
    show();
    showCounts(page.counts);
  };
  return { refresh, close: () => {} };
};
