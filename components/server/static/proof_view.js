// What an execution changed, and what proves that it is right.

import { diffView } from "/static/diff_view.js";
import { empty, h } from "/static/dom.js";
import { duration, many } from "/static/format.js";
import { badge } from "/static/parts.js";

/** The change, or why there is none to be seen. */
export const changes = ({ diff, trouble, isOver, isCut }) => {
  if (diff) return diffView(diff, isCut);
  if (trouble) return empty("The change cannot be shown", trouble);
  return isOver ? empty("Nothing was changed", "The agent has left every file as it was.") : empty("Nothing is changed yet", "What the agent changes in its workspace is shown here while it works.");
};

const check = (one) =>
  h("li", {},
    h("p", { class: "facts" }, badge(one.exit_code === 0 ? "passed" : "failed"), h("span", { class: "strong" }, one.name), h("code", {}, one.command), h("span", {}, duration(one.seconds))),
    one.why && h("p", { class: "muted" }, one.why),
    one.last_lines?.length > 0 && h("details", { open: one.exit_code !== 0 }, h("summary", {}, "Last lines"), h("pre", { class: "last-lines", tabindex: "0", "aria-label": `Last lines of ${one.name}` }, one.last_lines.join("\n"))));

const list = (title, items) => items.length > 0 && [h("h2", {}, title), h("ul", { class: "plain" }, items.map((one) => h("li", {}, one)))];

/** Checks, commits, and what became of them. */
export const checks = ({ receipt, isOver }) => {
  const run = receipt.checks?.run || [];
  const commits = receipt.evidence?.commits || [];
  const published = receipt.published || {};
  const parts = [
    run.length > 0 && [h("h2", {}, `Checks: ${run.filter((one) => one.exit_code === 0).length} of ${run.length} passed`), h("ul", { class: "plain checks-run" }, run.map(check))],
    list("Not run", receipt.checks?.not_run || []),
    list(many(commits.length, "commit"), commits.map((one) => [h("code", {}, one.id.slice(0, 8)), ` ${one.subject}`])),
    list("Not committed by the agent", receipt.evidence?.leftovers || []),
    list("Unfinished", receipt.evidence?.trouble || []),
    list("Published", [published.remote && `pushed to ${published.remote} as ${published.branch}`, published.pull_request && link(published.pull_request)].filter(Boolean)),
    list("Notes", receipt.warnings || []),
  ].filter(Boolean);
  if (parts.length) return h("div", { class: "proof" }, parts);
  return isOver
    ? empty("No checks ran", "Name the commands that must pass under `checks:` in the configuration: they are run on the agent's work before it counts as done.")
    : empty("Not checked yet", "When the agent has finished, its commits are looked at and the checks of the project are run.");
};

const link = (address) => (/^https?:\/\//.test(address) ? h("a", { href: address, rel: "noreferrer noopener", target: "_blank" }, address) : address);
