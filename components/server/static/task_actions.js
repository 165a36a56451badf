// What can be done with a task of the board, and with an execution.

import { post, remove } from "/static/api.js";
import { confirmed, notice } from "/static/parts.js";

export const runTask = async (task) => {
  const started = await post(`/api/tasks/${task.id}/run`);
  notice(`“${task.title}” was started.`);
  return started;
};

export const stopTask = async (task) => {
  if (!(await confirmed("Stop this task?", `The agent of “${task.title}” is asked to end and is killed if it does not. What it has done so far stays in its worktree.`, "Stop it"))) return;
  await post(`/api/tasks/${task.id}/stop`);
  notice("It is being stopped.");
};

export const reopenTask = async (task) => {
  await post(`/api/tasks/${task.id}/reopen`);
  notice(`“${task.title}” is to be done again.`);
};

export const deleteTask = async (task) => {
  if (!(await confirmed("Remove this task?", `“${task.title}” goes from the board. Its executions stay in the history, its changes in the repository.`, "Remove it"))) return;
  await remove(`/api/tasks/${task.id}`);
  notice("The task is removed.");
};

export const stopExecution = async (one) => {
  if (!(await confirmed("Stop this execution?", "The agent is asked to end and is killed if it does not. What it has done so far stays in its worktree.", "Stop it"))) return;
  await post(`/api/agent-runtime/executions/${one.id}/cancel`);
  notice("It is being stopped.");
};

export const restartExecution = async (one, isResumed) => {
  const started = await post(`/api/agent-runtime/executions/${one.id}/restart${isResumed ? "?resume=true" : ""}`);
  location.hash = `#/executions/${started.execution_id}`;
  notice(isResumed ? "It goes on as a new execution, in the same conversation and worktree." : "It is done again as a new execution.");
};
