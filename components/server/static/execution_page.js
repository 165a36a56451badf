// One execution: what it says, what it changed, what proves it, what it took.

import { get } from "/static/api.js";
import { button, h, prose } from "/static/dom.js";
import { compact, count, duration, exact, money, tone, words } from "/static/format.js";
import { Log } from "/static/log_view.js";
import { badge, doing, elapsed, executionLink, moment, redraw, section } from "/static/parts.js";
import { changes, checks } from "/static/proof_view.js";
import { tabs } from "/static/tabs.js";
import { restartExecution, stopExecution } from "/static/task_actions.js";

const SUMMARY = { lines: 4, letters: 400 };
const STARTED_BY = { run: "a daemon", task: "the terminal", serve: "the service", workflow: "a workflow", worker: "a worker" };

/** The agent of the store whose attempt an execution is, where it belongs to a workflow; the task is named after it. */
const nodeOf = async (one) => {
  const [, agent] = /^agent-([0-9a-f]{8})-/.exec(one.door === "workflow" ? one.task_id : "") || [];
  const found = agent && (await get(`/api/agents/${agent}`).catch(() => null));
  return found?.workflow_id ? { name: found.node, workflow: found.workflow_id } : null;
};

const nodeLink = ({ name, workflow }) =>
  h("span", {}, "node ", h("a", { href: `#/workflows/${workflow}?${new URLSearchParams({ node: name })}`, "data-key": "node" }, name), " of a workflow");

const head = (one, refresh) => {
  const act = (text, work, sign, kind = "") => button(text, doing(work), { kind, sign, "data-key": text });
  const actions = one.is_over || one.status === "interrupted"
    ? [one.session_id && act("Resume", () => restartExecution(one, true), "play"), act("Do it again", () => restartExecution(one, false), "again")]
    : [act("Stop", () => stopExecution(one).then(refresh), "stop", "danger")];
  return [
    h("div", { class: "execution-head", "data-has-status": one.id },
      h("div", {},
        h("p", { class: "facts", "data-status": one.id, tabindex: "-1" }, badge(one.status), one.reason && one.reason !== one.status && h("span", {}, words(one.reason)), h("code", {}, one.short_id), one.restarted_from && h("span", {}, "restart of ", executionLink(one.restarted_from)), one.node && nodeLink(one.node))),
      h("div", { class: "row" }, actions)),
    one.error && h("div", { class: "notice bad" }, h("p", {}, prose(one.error))),
    one.summary && summary(one.summary),
  ];
};

/** What the agent said last, boxed; of a long one a few lines, and the rest on demand. */
const summary = (text) => {
  const start = text.split("\n").slice(0, SUMMARY.lines).join("\n").slice(0, SUMMARY.letters).trimEnd();
  if (start.length >= text.trimEnd().length) return h("div", { class: "panel summary" }, h("p", { class: "prose" }, text));
  return h("div", { class: "panel summary" },
    h("p", { class: "prose" }, `${start} …`),
    h("details", {}, h("summary", { "data-key": "summary" }, "More of the summary"), h("div", { class: "prose whole", tabindex: "0", role: "region", "aria-label": "The whole summary" }, text)));
};

const facts = (one) => {
  const tokens = one.tokens;
  const rows = [
    ["Time", one.is_over ? duration(one.seconds) : elapsed(one.started_at || one.created_at)],
    ["Cost", h("span", { class: "figure" }, (one.is_whole_cost ? "" : "≥ ") + money(one.cost_usd) + (one.is_over ? "" : " so far"))],
    ["Project", one.project], ["Role", words(one.role)], ["Seniority", one.level], ["Size", one.complexity],
    ["Agent", one.agent_id], ["Model", one.model],
    ["Began", moment(one.started_at || one.created_at)], ["Ended", one.completed_at && moment(one.completed_at)],
    ["Tokens", tokens.input + tokens.output > 0 && h("span", { title: `${count(tokens.cache_read)} read from and ${count(tokens.cache_write)} written to the cache` }, `${compact(tokens.input)} in, ${compact(tokens.output)} out`)],
    ["Tool calls", one.tool_calls > 0 && count(one.tool_calls)], ["Turns", one.turns > 0 && count(one.turns)],
    ["Branch", one.branch && h("code", {}, one.branch)], ["Workspace", one.workspace && h("code", {}, one.workspace)],
    ["Machine", one.host_name], ["Started by", STARTED_BY[one.door]],
  ];
  return h("dl", { class: "facts-list" }, rows.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
};

/** The moves between states, each with how long it stayed there. */
const timeline = ({ moves, attempts, isOver }) =>
  h("ol", { class: "timeline" }, moves.map((move, at) => {
    const next = moves[at + 1];
    const end = attempts.find((one) => one.attempt === move.attempt && one.reason);
    const isNew = at > 0 && move.attempt !== moves[at - 1].attempt;
    const isPast = isOver || Boolean(next);
    return h("li", {},
      isNew && h("p", { class: "muted" }, `Attempt ${move.attempt}`),
      h("div", {}, badge(move.after, `${tone(move.after)} ${isPast ? "past" : ""}`), h("span", { class: "muted figure" }, next ? duration((Date.parse(next.at) - Date.parse(move.at)) / 1000) : isOver ? "" : elapsed(move.at))),
      h("p", { class: "muted" }, h("time", { datetime: move.at }, exact(move.at)), next?.attempt > move.attempt && end ? ` · ended: ${words(end.reason)}` : ""));
  }));

/** The page of one execution. */
export const executionPage = (place, _, id, title) => {
  const places = Object.fromEntries(["head", "facts", "timeline", "changes", "checks"].map((name) => [name, h("div")]));
  let log = null;
  let isDrawn = false;
  let node;
  let refreshing = null;

  const begin = (one) => {
    log = new Log(one.id, { ended: () => { clearTimeout(refreshing); refreshing = setTimeout(doing(refresh), 700); } });
    const panes = tabs("Execution", [["Output", log.element], ["Changes", places.changes], ["Checks", places.checks]], () => log.toEnd());
    place.append(places.head,
      h("div", { class: "split execution" }, h("div", { class: "panel" }, panes), h("aside", { "aria-label": "Facts" }, section("Facts", "", places.facts), section("Timeline", "", places.timeline))));
    isDrawn = true;
  };

  const refresh = async () => {
    const one = await get(`/api/agent-runtime/executions/${id}`);
    title(one.title);
    if (node === undefined) node = await nodeOf(one);
    if (!isDrawn) begin(one);
    const { timeline: moves, attempts, output, receipt, ...row } = one;
    redraw(places.head, { ...row, node }, (told) => head(told, refresh));
    redraw(places.facts, row, facts);
    redraw(places.timeline, { moves, attempts, isOver: one.is_over }, timeline);
    redraw(places.changes, { diff: output.diff, trouble: output.trouble, isOver: one.is_over, isCut: output.is_cut }, changes);
    redraw(places.checks, { receipt, isOver: one.is_over }, checks);
    if (!one.is_over && log.isOver) log.begin();
  };
  return { refresh, close: () => { log?.close(); clearTimeout(refreshing); }, often: true };
};
