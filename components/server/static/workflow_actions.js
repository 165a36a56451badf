// What can be done with a workflow.

import { post } from "/static/api.js";
import { h } from "/static/dom.js";
import { many } from "/static/format.js";
import { act, confirmed, notice } from "/static/parts.js";

const place = (one) => `/api/workflows/${one.id}`;

export const runWorkflow = async (one) => {
  await post(`${place(one)}/run`);
  notice(`“${one.name}” is at work.`);
};

export const cancelWorkflow = async (one) => {
  if (!(await confirmed("Cancel this workflow?", `Nothing more of “${one.name}” begins, and its agents at work are asked to end. What is done stays; what is not can be done again later.`, "Cancel it"))) return;
  const { at_work: number } = await post(`${place(one)}/cancel`);
  notice(`“${one.name}” is cancelled${number ? `; ${many(number, "agent")} asked to end` : ""}.`);
};

export const retryWorkflow = async (one) => {
  const { agents } = await post(`${place(one)}/retry`);
  notice(`${many(agents, "node")} of “${one.name}” to be done again.`);
};

const decide = async (one, node, word, comment) => {
  await post(`${place(one)}/nodes/${encodeURIComponent(node)}/${word}`, { comment });
  notice(`“${node}” was ${word === "approve" ? "approved" : "rejected"}.`);
};

/** The question of an approval, with a place for what is to be told to those that come after it. */
export const question = (one, node, answered) => {
  const id = `comment-${node.id}`;
  const comment = h("textarea", { id, rows: 2, "aria-describedby": `${id}-help`, placeholder: "Leave out division" });
  const answer = (word) => () => decide(one, node.name, word, comment.value.trim()).then(answered);
  return h("li", { class: "card question", "data-item": node.id, tabindex: "-1" },
    h("p", { class: "card-title" }, `${node.name}: ${node.title}`),
    node.task && node.task !== node.title && h("p", { class: "prose" }, node.task),
    h("div", { class: "field" }, h("label", { for: id }, "Comment (optional)"), comment, h("p", { class: "help", id: `${id}-help` }, "It is told to the agents that come after it.")),
    h("div", { class: "row" },
      act("Approve", answer("approve"), { kind: "primary", "data-key": `approve-${node.name}`, "aria-label": `Approve ${node.name}` }),
      act("Reject", answer("reject"), { kind: "danger", "data-key": `reject-${node.name}`, "aria-label": `Reject ${node.name}` })));
};
