// The form that puts a task on the board.

import { get, post } from "/static/api.js";
import { button, h, prose } from "/static/dom.js";
import { words } from "/static/format.js";
import { dialog, notice } from "/static/parts.js";

const ROLES = ["backend_dev", "frontend_dev", "qa", "architect", "pm"];
const LEVELS = ["junior", "senior", "principal"];
const SIZES = [
  ["major", "Major", "In a worktree with a branch of its own; it is reviewed before it is merged."],
  ["minor", "Minor", "In the checkout itself, on its branch."],
];

const field = (id, label, input, help) => {
  input.setAttribute("aria-describedby", [help && `${id}-help`, `${id}-problem`].filter(Boolean).join(" "));
  return h("div", { class: "field" }, h("label", { for: id }, label), input,
    help && h("p", { class: "help", id: `${id}-help` }, help),
    h("p", { class: "problem", id: `${id}-problem`, role: "alert" }));
};

const choice = (id, options, first) =>
  h("select", { id, name: id }, first !== undefined && h("option", { value: "" }, first), options.map(([value, text]) => h("option", { value }, text)));

const sizes = () =>
  h("fieldset", { class: "field" }, h("legend", {}, "Size"), SIZES.map(([value, name, help], at) =>
    h("label", { class: "choice" }, h("input", { type: "radio", name: "complexity", value, checked: at === 0 }), h("span", {}, h("strong", {}, name), h("span", { class: "help" }, help)))));

const form = (projects) =>
  h("form", { id: "task-form", class: "form", method: "dialog", "aria-describedby": "task-problem" },
    field("title", "Title", h("input", { id: "title", name: "title", required: true, maxlength: 1000, autocomplete: "off", placeholder: "Make the nightly export resumable" })),
    field("context", "Description", h("textarea", { id: "context", name: "context", rows: 6 }), "What the agent should know, what is to be done, and how one sees that it is done."),
    h("div", { class: "columns" },
      field("project", "Project", choice("project", projects.map((one) => [one.name, one.name]))),
      field("role", "Role", choice("role", ROLES.map((one) => [one, words(one)])))),
    h("div", { class: "columns" },
      field("level", "Seniority", choice("level", LEVELS.map((one) => [one, one]), "as configured")),
      field("model", "Model (optional)", h("input", { id: "model", name: "model", maxlength: 200, autocomplete: "off", spellcheck: "false" }), "Empty: the model that is configured for the seniority.")),
    field("docs_path", "Documentation (optional)", h("input", { id: "docs_path", name: "docs_path", autocomplete: "off", placeholder: "docs/export.md" })),
    sizes(),
    h("p", { id: "task-problem", class: "problem", role: "alert" }));

/** Say what is wrong: at the field that it is about, under its label, or else below the form. */
const tell = (asked, error) => {
  const problems = error ? error.told?.fields || [] : [];
  const placed = problems.filter(({ field: name }) => asked.querySelector(`#${CSS.escape(name)}-problem`));
  for (const place of asked.querySelectorAll(".field > .problem")) {
    const input = place.parentElement.querySelector("input, select, textarea");
    const wrong = placed.find(({ field: name }) => name === input.name);
    place.textContent = wrong ? `${place.parentElement.querySelector("label").textContent.replace(" (optional)", "")}: ${wrong.problem}` : "";
    if (wrong) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  }
  asked.querySelector("#task-problem").replaceChildren(...prose(error && placed.length < Math.max(1, problems.length) ? error.message : ""));
  asked.querySelector("[aria-invalid]")?.focus();
};

/** Ask for a task, put it on the board, and run it where that is wanted. */
export const newTask = async () => {
  const { projects } = await get("/api/projects");
  if (!projects.length) {
    notice("There is no project yet. Add one under `projects:` in config.yaml, or start the service with --repo DIR.", "bad");
    return;
  }
  const asked = form(projects);
  const one = dialog("New task", asked);
  let isRun = true;
  const send = (run) => () => { isRun = run; };
  one.append(h("div", { class: "row end actions" },
    button("Cancel", () => one.close(), { kind: "quiet" }),
    button("Add to board", send(false), { type: "submit", form: "task-form" }),
    button("Start now", send(true), { kind: "primary", type: "submit", form: "task-form" })));
  asked.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (asked.getAttribute("aria-busy")) return;
    asked.setAttribute("aria-busy", "true");
    tell(asked, null);
    try {
      const given = Object.fromEntries(new FormData(asked));
      const task = await post("/api/tasks", { ...given, level: given.level || null });
      one.close();
      await begin(task, isRun);
    } catch (error) {
      tell(asked, error);
    } finally {
      asked.removeAttribute("aria-busy");
    }
  });
  asked.querySelector("#title").focus();
};

const begin = async (task, isRun) => {
  if (!isRun) {
    location.hash = "#/tasks";
    notice(`“${task.title}” is on the board.`);
    return;
  }
  try {
    const started = await post(`/api/tasks/${task.id}/run`);
    location.hash = `#/executions/${started.execution_id}`;
    notice(`“${task.title}” was started.`);
  } catch (error) {
    location.hash = "#/tasks";
    notice(`The task is on the board, but was not started: ${error.message}`, "bad");
  }
};
