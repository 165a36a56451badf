// What goes on now: who is at work, what waits, whether all is well.

import { get } from "/static/api.js";
import { button, empty, h, keepingFocus, prose, wide } from "/static/dom.js";
import { count, day, duration, last, many, money, percent, words } from "/static/format.js";
import { costChart, outcomeChart } from "/static/history_charts.js";
import { Log } from "/static/log_view.js";
import { newTask } from "/static/new_task.js";
import { badge, doing, elapsed, executionLink, moment, redraw, section, table } from "/static/parts.js";
import { runTask } from "/static/task_actions.js";

const DAYS = 14;
const MOST_TAILS = 4;
const TAIL = { tail: 6000, most: 5, isSmall: true };

const figure = (name, value, note, href) =>
  h(href ? "a" : "div", { class: "key", href }, h("span", { class: "key-name" }, name), h("span", { class: "key-value" }, value), h("span", { class: "key-note" }, note));

const keys = ({ now, days }) => {
  const finished = days.filter((one) => one.day > day(7));
  const total = (status) => finished.filter((one) => one.status === status).reduce((sum, one) => sum + one.count, 0);
  const [good, judged] = [total("succeeded"), total("succeeded") + total("failed")];
  return h("div", { class: "keys" },
    figure("At work", count(now.at_work.length), many(now.agents.filter((one) => one.runner.alive).length, "runner"), "#/history?status=pending&status=running"),
    figure("In the queue", count(now.board.todo), "to do", "#/tasks"),
    figure("To review", count(now.board.review), "finished by agents", "#/tasks"),
    figure("Cost today", money(now.cost_today_usd), "UTC day", "#/costs"),
    figure("Succeeded", judged ? percent(good / judged) : "–", judged ? `${count(good)} of ${count(judged)} that succeeded or failed, in 7 days` : "none succeeded or failed in 7 days", "#/history?status=succeeded&status=failed&age=7"));
};

/** One execution at work, with the end of its output; it is changed in place, so that its log stays. */
class Card {
  constructor(one, hasTail) {
    this.log = hasTail ? new Log(one.id, TAIL) : null;
    this.head = h("div", { class: "card-head" });
    this.element = h("li", { class: "card", "data-item": one.id, tabindex: "-1" }, this.head, this.log?.element);
  }

  /** Is the time over at which it was first said to end? What is said later is for those that took longer. */
  isLate(one) {
    if (one.seconds_left > 0) this.due ??= Date.now() + 1000 * one.seconds_left;
    return one.is_late || Date.now() > this.due;
  }

  update(one) {
    const isLate = this.isLate(one);
    redraw(this.head, { ...one, elapsed_seconds: 0, isLate }, () => [
      h("div", { class: "card-title" }, executionLink(one.id, one.title, { "data-key": one.id }), badge(one.stage)),
      h("p", { class: "facts" }, [one.project, words(one.role), one.agent_id, one.model, one.attempt > 1 && `attempt ${one.attempt}`].filter(Boolean).map((text) => h("span", {}, text))),
      h("p", { class: "facts" }, elapsed(one.started_at), h("span", {}, `${one.is_whole_cost ? "" : "≥ "}${money(one.cost_usd)}`), isLate ? h("span", {}, "longer than usual") : one.seconds_left > 0 && h("span", {}, `about ${duration(one.seconds_left)} left`)),
      one.progress !== null && !isLate && wide(h("div", { class: "progress", role: "progressbar", "aria-label": `Estimated progress of ${one.title}`, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(one.progress * 100) }, h("span")), one.progress),
      one.remark && h("p", { class: "note" }, prose(one.remark)),
    ]);
  }

  close() {
    this.log?.close();
  }
}

const agents = ({ now, costs }) => {
  const cost = new Map(costs.map((one) => [one.key, one.usd]));
  const work = new Map(now.at_work.map((one) => [one.id, one]));
  const shown = now.agents.filter((one) => !(one.is_idle && one.agent_id.startsWith("task-")));
  if (!shown.length) return empty("No agent is at work", "An agent appears here when a runner is started for it, or when a task is started.", h("code", {}, "agent-runner run --role backend_dev --agent-id dev_001"));
  const state = (one) => (one.is_elsewhere ? "elsewhere" : one.task ? (one.runner.alive ? work.get(one.execution_id)?.stage || "working" : "no runner") : one.runner.alive ? "idle" : "stopped");
  return table("Agents of this machine", [
    ["Agent", (one) => h("span", { class: "strong" }, one.agent_id), ""],
    ["State", (one) => badge(state(one)), ""],
    ["Role", (one) => words(one.task?.role) || "–", ""],
    ["Task", (one) => (one.task ? executionLink(one.execution_id, one.task.title, { "data-key": `agent-${one.agent_id}` }) : "–"), "grow"],
    ["Elapsed", (one) => elapsed(one.since), "right"],
    ["Model", (one) => work.get(one.execution_id)?.model || "–", ""],
    ["Cost today", (one) => money((cost.get(one.agent_id) || 0) + (work.get(one.execution_id)?.cost_usd || 0)), "right figure"],
  ], shown);
};

const queue = (tasks, refresh) => {
  if (!tasks.length) return empty("The queue is empty", "Tasks that are to be done wait here. Describe one; an agent does it in a worktree of its own and you review the change.", button("New task", doing(newTask), { kind: "primary", sign: "plus" }));
  return table("Tasks that wait", [
    ["Task", (one) => h("div", {}, h("span", { class: "strong" }, one.title), one.error && h("p", { class: "problem clamp" }, one.error)), "grow"],
    ["Project", (one) => one.project, ""],
    ["Role", (one) => words(one.role), ""],
    ["Added", (one) => moment(one.created_at), ""],
    ["", (one) => button("Start", doing(() => runTask(one).then(refresh)), { kind: "small", sign: "play", "data-key": `run-${one.id}`, "aria-label": `Start ${one.title}` }), "right"],
  ], tasks);
};

const health = ({ now, ready }) => {
  const troubles = [
    ...Object.entries(ready.checks || {}).filter(([, said]) => said !== "ok").map(([name, said]) => `The ${name} is not usable: ${said}. Look at the log of the service.`),
    ...now.strays.map((one) => `An agent lives that no journal knows, in ${last(one.path)}. \`agent-runner status\` names its process; it ends by itself when its leash is over.`),
    ...now.dead_letters.map((one) => `A report was refused by the server and is kept in ${one.path}.`),
    ...now.unreadable.map((one) => `${one.path} cannot be read: ${one.why}.`),
    ...(now.set_aside.length ? [`${many(now.set_aside.length, "damaged state file")} set aside, the newest ${now.set_aside.at(-1)}.`] : []),
  ];
  const checks = Object.entries(ready.checks || {}).map(([name, said]) => h("li", {}, badge(said === "ok" ? "ok" : "error"), ` ${name}`));
  return [
    h("ul", { class: "checks" }, checks, h("li", {}, h("span", { class: "muted" }, `version ${now.version}`))),
    troubles.length ? h("ul", { class: "troubles" }, troubles.map((text) => h("li", {}, prose(text)))) : h("p", { class: "muted" }, "Nothing needs attention: no stray agents, no refused reports, no damaged state."),
  ];
};

/** The overview. */
export const overviewPage = (place) => {
  const places = Object.fromEntries(["keys", "agents", "queue", "health", "charts"].map((name) => [name, h("div")]));
  const cards = new Map();
  const list = h("ul", { class: "cards" });
  const idle = h("div");
  place.append(places.keys,
    section("At work", "", list, idle),
    h("div", { class: "split" }, section("Queue", h("a", { href: "#/tasks" }, "All tasks"), places.queue), section("Health", "", places.health)),
    section("Agents", "", places.agents),
    section(`The last ${DAYS} days`, h("a", { href: "#/costs" }, "More figures"), places.charts));

  const showCards = (work) => {
    for (const [id, card] of cards) if (!work.some((one) => one.id === id)) { card.close(); keepingFocus(() => card.element.remove()); cards.delete(id); }
    for (const one of work) {
      if (!cards.has(one.id)) cards.set(one.id, new Card(one, cards.size < MOST_TAILS && one.stage !== "elsewhere"));
      cards.get(one.id).update(one);
      if (!cards.get(one.id).element.isConnected) list.append(cards.get(one.id).element);
    }
    redraw(idle, work.length, () => !work.length && empty("Nothing is at work", "When an agent works, its task, its cost and the end of its output stand here.", button("New task", doing(newTask), { kind: "primary", sign: "plus", "data-key": "new" })));
  };

  const refresh = async () => {
    const [now, { days }, { costs }, ready] = await Promise.all([get("/api/overview"), get(`/api/days?days=${DAYS}`), get(`/api/costs?by=agent&since=${day()}`), get("/ready").catch((problem) => problem.told)]);
    redraw(places.keys, { now: { ...now, at_work: now.at_work.map((one) => one.id) }, days }, keys);
    showCards(now.at_work);
    redraw(places.agents, { now: { agents: now.agents, at_work: now.at_work.map((one) => ({ ...one, elapsed_seconds: 0, progress: 0, seconds_left: 0 })) }, costs }, agents);
    redraw(places.queue, now.queue, (tasks) => queue(tasks, refresh));
    redraw(places.health, { now, ready }, health);
    redraw(places.charts, { days, today: day() }, () => (days.length
      ? h("div", { class: "split even" }, outcomeChart(days, DAYS), costChart(days, DAYS))
      : empty("No figures yet", "After the first executions this shows how they ended and what each day cost.")));
  };
  return { refresh, close: () => cards.forEach((card) => card.close()), often: true };
};
