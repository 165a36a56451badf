// The directories in which agents work or have worked.

import { get, remove } from "/static/api.js";
import { button, empty, h } from "/static/dom.js";
import { many, words } from "/static/format.js";
import { badge, confirmed, doing, executionLink, moment, notice, redraw, table } from "/static/parts.js";

const ADDRESS = "/api/agent-runtime/workspaces";

/** Ask, saying what would be lost, and remove it; what is unsaved is kept as a snapshot first. */
const removeIt = async (one) => {
  const { unsaved } = await get(`${ADDRESS}/${one.id}`);
  const told = unsaved.length
    ? [`It holds ${many(unsaved.length, "thing")} that no branch has. They are kept as a snapshot in the repository before the directory goes.`, h("ul", { class: "plain" }, unsaved.slice(0, 12).map((text) => h("li", {}, h("code", {}, text))))]
    : ["Nothing in it is unsaved. Its branch stays in the repository."];
  if (!(await confirmed("Remove this workspace?", told, unsaved.length ? "Keep a snapshot and remove it" : "Remove it"))) return;
  const gone = await remove(`${ADDRESS}/${one.id}${unsaved.length ? "?force=true" : ""}`);
  notice(gone.snapshot || gone.bundle ? `It is removed. What was unsaved is in ${gone.snapshot || gone.bundle}.` : "It is removed.");
};

const columns = (refresh) => [
  ["Directory", (one) => h("code", { class: "path" }, one.path), "grow"],
  ["State", (one) => badge(one.status), ""],
  ["Kind", (one) => words(one.kind), ""],
  ["Project", (one) => one.project, ""],
  ["Branch", (one) => (one.branch ? h("code", {}, one.branch) : "–"), ""],
  ["Execution", (one) => (one.execution_id ? executionLink(one.execution_id, "", { "data-key": one.id }) : "–"), ""],
  ["Used", (one) => moment(one.updated_at), ""],
  ["", (one) => (one.is_here ? button("Remove", doing(() => removeIt(one).then(refresh)), { kind: "small quiet", sign: "gone", "data-key": `remove-${one.id}`, "aria-label": `Remove ${one.path}` }) : h("span", { class: "muted" }, `on ${one.host_name}`)), "right"],
];

/** The workspaces. */
export const workspacesPage = (place) => {
  const list = h("div");
  place.append(list);
  const refresh = async () => {
    const { workspaces } = await get(ADDRESS);
    redraw(list, workspaces, () => (workspaces.length
      ? table("Workspaces", columns(refresh), workspaces)
      : empty("No workspaces", "Each major task gets a worktree of its own, listed here. It goes by itself when its work is committed; one that holds unsaved work stays until you decide.")));
  };
  return { refresh, close: () => {} };
};
