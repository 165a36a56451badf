// How workflows and their nodes are told, wherever they are shown.

import { h, wide } from "/static/dom.js";
import { count, duration, many, tone } from "/static/format.js";
import { elapsed } from "/static/parts.js";

/** The statuses of nodes in the order in which they are told. */
export const STATUSES = ["completed", "active", "failed", "awaiting", "queued", "pending", "skipped", "cancelled"];
export const WRONG = ["failed", "skipped", "cancelled"];
const BARS = { completed: "good", active: "accent", failed: "bad" };

/** What has not begun is quiet: it is what most nodes are. */
export const nodeTone = (status) => (status === "pending" ? "quiet" : tone(status));

export const total = (counts) => Object.values(counts).reduce((sum, one) => sum + one, 0);

/** How many nodes stand where, in words. */
export const told = (counts) => {
  if (!total(counts)) return "no node yet";
  const number = (...names) => names.reduce((sum, name) => sum + (counts[name] || 0), 0);
  const parts = [
    [number("active"), "at work"], [number("failed"), "failed"], [number("awaiting"), "for a person"],
    [number("queued", "pending"), "waiting"], [number("skipped"), "skipped"], [number("cancelled"), "cancelled"],
  ];
  return [`${count(number("completed"))} of ${many(total(counts), "node")} done`, ...parts.filter(([one]) => one).map(([one, word]) => `${count(one)} ${word}`)].join(" · ");
};

/** The same as a bar; its words stand beside it. */
export const bar = (counts) =>
  h("div", { class: "counts-bar", "aria-hidden": "true" }, STATUSES.filter((one) => counts[one]).map((one) => wide(h("span", { class: `bar ${BARS[one] || "quiet"} ${one}` }), counts[one] / total(counts))));

/** How long a node has worked, or waits for its answer. */
export const timeOf = (one) => {
  if (one.status === "active") return elapsed(one.started_at);
  if (one.status === "awaiting") return elapsed(one.queued_at);
  return one.seconds > 0 ? duration(one.seconds) : "";
};

export const counted = (nodes) => {
  const counts = {};
  for (const one of nodes) counts[one.status] = (counts[one.status] || 0) + 1;
  return counts;
};
