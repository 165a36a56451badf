// Asks for the token.

import { get, keepToken } from "/static/api.js";
import { button, h } from "/static/dom.js";
import { dialog } from "/static/parts.js";

let open = null;

/** Ask for the token until there is a valid one; `done` is called then. */
export const signIn = (done) => {
  if (open) return;
  const field = h("input", { id: "token", name: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true, "aria-describedby": "token-help token-problem" });
  const problem = h("p", { id: "token-problem", class: "problem", role: "alert" });
  const form = h("form", { class: "form", method: "dialog" },
    h("p", { id: "token-help" }, "The service asks for its token. It was shown when the service was first started, and is in the file ", h("code", {}, "serve.token"), " in the runner's home (", h("code", {}, "~/.headless-pm"), " unless ", h("code", {}, "HEADLESS_PM_HOME"), " says otherwise). It stays in this tab and is forgotten with it."),
    h("div", { class: "field" }, h("label", { for: "token" }, "Token"), field),
    problem,
    h("div", { class: "row end" }, button("Sign in", null, { kind: "primary", type: "submit" })));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    keepToken(field.value.trim());
    try {
      await get("/api/projects");
      open.close();
    } catch (error) {
      problem.textContent = error.status === 401 ? "This is not the token of this service. Copy it again from the file, whole and without spaces." : error.message;
      field.select();
    }
  });
  open = dialog("Sign in", form);
  open.addEventListener("cancel", (event) => event.preventDefault());
  open.addEventListener("close", () => { open = null; done(); });
  field.focus();
};
