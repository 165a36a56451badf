// The workflows, newest first.

import { address, get } from "/static/api.js";
import { button, empty, h } from "/static/dom.js";
import { duration, last, since } from "/static/format.js";
import { badge, doing, elapsed, moment, redraw, table } from "/static/parts.js";
import { bar, nodeTone, told } from "/static/workflow_parts.js";

const PAGE = 50;

const time = (one) => {
  if (!one.started_at) return "";
  return one.ended_at ? duration(since(one.started_at) - since(one.ended_at)) : elapsed(one.started_at);
};

const COLUMNS = [
  ["Workflow", (one) => h("div", {}, h("a", { href: `#/workflows/${one.id}`, class: "strong", "data-key": one.id }, one.name), (one.error || one.description) && h("p", { class: "muted clamp" }, one.error || one.description)), "grow"],
  ["State", (one) => badge(one.status, nodeTone(one.status)), ""],
  ["Nodes", (one) => h("div", { class: "counts" }, h("span", {}, told(one.counts)), bar(one.counts)), "wrap"],
  ["Project", (one) => h("span", { title: one.project }, last(one.project)), ""],
  ["Begun", (one) => moment(one.started_at || one.created_at), ""],
  ["Time", time, "right figure"],
];

const none = () => empty("No workflow yet", "A workflow is a graph of agents, each of which begins at the work of those before it. Write one as a file and run it, or enter it by the API; it is drawn here while it works.",
  h("code", {}, "agent-runner workflow run calculator.yaml"), h("a", { href: "/docs" }, "POST /api/workflows"));

/** The list of workflows. */
export const workflowsPage = (place) => {
  const list = h("div");
  const more = button("Show older ones", doing(() => loadOlder()), { hidden: true });
  let rows = [];
  let older = [];
  place.append(list, h("p", {}, more));

  const load = async (before = "") => (await get(address("/api/workflows", { before, limit: PAGE }))).workflows;
  const show = () => redraw(list, [...rows, ...older], (all) => (all.length ? table("Workflows", COLUMNS, all) : none()));

  const loadOlder = async () => {
    const page = await load([...rows, ...older].at(-1).id);
    older = [...older, ...page];
    more.hidden = page.length < PAGE;
    show();
  };

  const refresh = async () => {
    rows = await load();
    const known = new Set(rows.map((one) => one.id));
    older = older.filter((one) => !known.has(one.id));
    if (!older.length) more.hidden = rows.length < PAGE;
    show();
  };
  return { refresh, close: () => {}, often: true };
};
