// The nodes of a workflow as tables: each of them, the layers of a graph that is too large to be drawn, and one alone.

import { button, h } from "/static/dom.js";
import { compact, count, many, money, words } from "/static/format.js";
import { banded, layered } from "/static/graph_layout.js";
import { badge, executionLink, moment, redraw, table } from "/static/parts.js";
import { STATUSES, bar, counted, nodeTone, timeOf, told } from "/static/workflow_parts.js";

const PAGE = 100;
const MOST_BANDS = 40;
const FILTERED = 12;

const remark = (one) => one.error || (one.status === "completed" ? one.result : "");

const columns = (link) => [
  ["Node", (one) => h("div", {}, link(one.name), one.title !== one.name && h("p", { class: "clamp" }, one.title), remark(one) && h("p", { class: `clamp ${one.error ? "problem" : "muted"}` }, remark(one))), "grow"],
  ["State", (one) => [badge(one.status, nodeTone(one.status)), one.attempt > 1 && h("span", { class: "muted" }, ` attempt ${one.attempt}`)], ""],
  ["Role", (one) => (one.kind === "approval" ? "a person" : words(one.role)), ""],
  ["Needs", (one) => one.needs.slice(0, 3).join(", ") + (one.needs.length > 3 ? ` and ${one.needs.length - 3} more` : ""), "wrap named"],
  ["Time", timeOf, "right figure"],
  ["Cost", (one) => (one.cost_usd > 0 ? money(one.cost_usd) : ""), "right figure"],
  ["Execution", (one) => (one.execution_id ? executionLink(one.execution_id, "", { "data-key": `run-${one.name}`, "aria-label": `Execution of ${one.name}` }) : ""), "right named"],
];

const row = ({ name, kind, role, title, status, attempt, needs, error, result, seconds, started_at, queued_at, cost_usd, execution_id }) =>
  ({ name, kind, role, title, status, attempt, needs, error: error.slice(0, 400), result: result.slice(0, 400), seconds, started_at, queued_at, cost_usd, execution_id });

/** All nodes, a page at a time, by their status. */
export class NodeTable {
  constructor(link) {
    this.columns = columns(link);
    this.most = PAGE;
    this.nodes = [];
    this.list = h("div");
    this.more = button("Show more", () => { this.most += PAGE; this.show(); }, { hidden: true });
    this.chips = h("fieldset", { class: "field states", oninput: () => this.show() }, h("legend", { class: "unseen" }, "State"), STATUSES.map((one) =>
      h("label", { class: "chip" }, h("input", { type: "checkbox", value: one }), h("span", {}, words(one), " ", h("span", { class: "number" })))));
    this.element = h("div", { class: "nodes" }, this.chips, this.list, this.more);
  }

  show(nodes = this.nodes) {
    this.nodes = nodes;
    const counts = counted(nodes);
    this.chips.hidden = nodes.length < FILTERED;
    for (const chip of this.chips.querySelectorAll("label")) {
      const input = chip.querySelector("input");
      chip.hidden = !counts[input.value] && !input.checked;
      chip.querySelector(".number").textContent = count(counts[input.value]);
    }
    const wanted = [...this.chips.querySelectorAll(":checked")].map((one) => one.value);
    const chosen = wanted.length ? nodes.filter((one) => wanted.includes(one.status)) : nodes;
    this.more.hidden = chosen.length <= this.most;
    redraw(this.list, chosen.slice(0, this.most).map(row), (rows) => (rows.length ? table("Nodes", this.columns, rows) : h("p", { class: "muted" }, "No node is like that now.")));
  }
}

/** What stands for the picture of a graph that is too large for one: its steps, each with how its nodes stand. */
export const steps = (nodes) => {
  const layers = layered(nodes);
  const bands = banded(layers, MOST_BANDS).map(({ first, last, nodes: all }) => ({ first, last, counts: counted(all) }));
  return { number: nodes.length, layers: layers.length, bands };
};

export const drawnSteps = ({ number, layers, bands }) => [
  h("p", { class: "muted" }, `${many(number, "node")} in ${many(layers, "step")}: too many to be drawn one by one.`),
  table("Steps", [
    ["Step", (one) => (one.first === one.last ? count(one.first + 1) : `${count(one.first + 1)} – ${count(one.last + 1)}`), "figure named"],
    ["Nodes", (one) => h("div", { class: "counts" }, h("span", {}, told(one.counts)), bar(one.counts)), "grow"],
  ], bands),
];

/** All that is known of one node. */
export const nodeFacts = (one, link) => {
  const spent = one.input_tokens + one.output_tokens;
  const rows = [
    ["State", [badge(one.status, nodeTone(one.status)), one.reason && one.reason !== one.status && ` ${words(one.reason)}`]],
    ["Execution", one.execution_id && executionLink(one.execution_id, `See its output and changes (${one.execution_id.slice(0, 8)})`, { "data-key": `open-${one.name}` })],
    ["Time", timeOf(one)], ["Cost", one.cost_usd > 0 && money(one.cost_usd)],
    ["Needs", one.needs.length > 0 && one.needs.slice(0, 12).map((need, at) => [at > 0 && ", ", link(need)])],
    ["Role", one.kind === "approval" ? "answered by a person" : words(one.role)], ["Seniority", one.kind !== "approval" && one.level],
    ["Attempt", one.attempt > 1 && String(one.attempt)], ["Model", one.model],
    ["Tokens", spent > 0 && `${compact(one.input_tokens)} in, ${compact(one.output_tokens)} out`],
    ["Ended", one.ended_at && moment(one.ended_at)],
    ["If it fails", { fail: "what comes after it fails", skip: "what comes after it is skipped", continue: "what comes after it goes on" }[one.on_failure]],
    ["Branch", one.branch && h("code", {}, one.branch)], ["Machine", one.host_name],
  ];
  return [
    one.error && h("div", { class: "notice bad" }, h("p", {}, one.error.slice(0, 4000))),
    one.result && h("pre", { class: "last-lines", tabindex: "0", "aria-label": `What ${one.name} said last` }, one.result.slice(0, 20_000)),
    h("dl", { class: "facts-list" }, rows.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    one.task && h("details", {}, h("summary", { "data-key": "task" }, "What it is to do"), h("p", { class: "prose" }, one.task)),
  ];
};
