// The board: tasks to do, running, and to review.

import { address, get } from "/static/api.js";
import { button, empty, h } from "/static/dom.js";
import { count, words } from "/static/format.js";
import { newTask } from "/static/new_task.js";
import { doing, elapsed, executionLink, moment, redraw } from "/static/parts.js";
import { deleteTask, reopenTask, runTask, stopTask } from "/static/task_actions.js";

const COLUMNS = [
  ["todo", "To do", "Tasks wait here until they are started, and come back when they fail or are stopped."],
  ["running", "Running", "Start a task, and its agent appears here."],
  ["review", "To review", "What agents have finished waits here: look at the change, merge it, remove the task."],
];

const actions = (task, refresh) => {
  const act = (text, work, sign, kind = "") => button(text, doing(() => work(task).then(refresh)), { kind: `small ${kind}`, sign, "data-key": `${text}-${task.id}`, "aria-label": `${text}: ${task.title}` });
  return {
    todo: () => [act("Start", runTask, "play"), act("Remove", deleteTask, "gone", "quiet")],
    running: () => [act("Stop", stopTask, "stop", "danger")],
    review: () => [act("Do it again", reopenTask, "again"), act("Remove", deleteTask, "gone", "quiet")],
  }[task.status]();
};

const card = (task, refresh) =>
  h("li", { class: "card", "data-item": task.id, tabindex: "-1" },
    h("div", { class: "card-title" }, task.execution_id ? executionLink(task.execution_id, task.title, { "data-key": task.id }) : h("span", { class: "strong" }, task.title)),
    h("p", { class: "facts" }, [task.project, words(task.role), task.level, task.complexity].filter(Boolean).map((text) => h("span", {}, text)), h("span", {}, task.status === "running" ? elapsed(task.started_at) : moment(task.ended_at || task.created_at))),
    task.error && h("p", { class: "problem clamp" }, task.error),
    (task.context || task.output.length > 0) && h("details", {},
      h("summary", { "data-key": `more-${task.id}` }, "Description and last output"),
      task.context && h("p", { class: "prose" }, task.context),
      task.output.length > 0 && h("pre", { class: "last-lines", tabindex: "0", "aria-label": `Last output of ${task.title}` }, task.output.join("\n"))),
    h("div", { class: "row" }, actions(task, refresh)));

const column = (tasks, counts, [status, name, text], refresh) =>
  h("section", { class: "column", "aria-labelledby": `column-${status}` },
    h("h2", { id: `column-${status}` }, name, " ", h("span", { class: "number" }, count(counts[status]))),
    tasks.length ? h("ul", { class: "cards" }, tasks.map((one) => card(one, refresh))) : empty("", text));

/** The board of tasks. */
export const tasksPage = (place) => {
  const board = h("div");
  place.append(board);
  const refresh = async () => {
    const shown = await Promise.all(COLUMNS.map(([status]) => get(address("/api/tasks", { status, limit: 50 }))));
    redraw(board, shown, () => {
      const counts = shown[0].counts;
      if (!Object.values(counts).some(Boolean)) return empty("No task yet", "Describe what should be done. An agent does it in a worktree of its own; you see its output as it comes, its cost, and the change it made.", button("New task", doing(newTask), { kind: "primary", sign: "plus", "data-key": "new" }));
      return h("div", { class: "board" }, COLUMNS.map((one, at) => column(shown[at].tasks, counts, one, refresh)));
    });
  };
  return { refresh, close: () => {} };
};
