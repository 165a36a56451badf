// The pieces that several pages are made of.

import { mayChange } from "/static/api.js";
import { announce, button, focusLater, h, keepingFocus, prose, put } from "/static/dom.js";
import { ago, duration, exact, since, tone, words } from "/static/format.js";

/** A state: a mark in its colour, and the word. */
export const badge = (state, look = tone(state)) => h("span", { class: `badge ${look}` }, words(state));

export const executionLink = (id, text, more = {}) => h("a", { href: `#/executions/${id}`, ...more }, text || id.slice(0, 8));

/** A time as people say it; its exact value on hover, and to programs. */
export const moment = (at) => (at ? h("time", { datetime: at, title: exact(at), "data-ago": at }, ago(at)) : "–");

/** The time since then, which goes on by itself. */
export const elapsed = (at) => (at ? h("time", { datetime: at, title: `since ${exact(at)}`, "data-since": at, class: "figure" }, duration(since(at))) : "–");

/** Let the times on the page go on. */
export const keepTime = () => setInterval(() => {
  for (const one of document.querySelectorAll("[data-since]")) setText(one, duration(since(one.dataset.since)));
  for (const one of document.querySelectorAll("[data-ago]")) setText(one, ago(one.dataset.ago));
}, 1000);

const setText = (element, text) => { if (element.textContent !== text) element.textContent = text; };

/** A section with a heading. */
export const section = (title, aside, ...children) => {
  const id = `section-${title.toLowerCase().replaceAll(/[^a-z]+/g, "-")}`;
  return h("section", { class: "panel", "aria-labelledby": id }, h("div", { class: "panel-head" }, h("h2", { id }, title), aside), children);
};

/** A table that becomes a list of cards where the page is narrow. `columns` are `[heading, cell(row), class]`. */
export const table = (caption, columns, rows) =>
  h("table", { class: "list" },
    h("caption", { class: "unseen" }, caption),
    h("thead", {}, h("tr", {}, columns.map(([name, , kind]) => h("th", { scope: "col", class: kind }, name || h("span", { class: "unseen" }, "Actions"))))),
    h("tbody", {}, rows.map((row) => h("tr", row.id && { "data-item": row.id, tabindex: "-1" }, columns.map(([name, cell, kind]) => h("td", { class: kind, "data-label": name }, cell(row)))))));

/** Draw something anew only where what it shows has changed, so that focus and selection stay. */
export const redraw = (place, data, draw) => {
  const now = JSON.stringify(data);
  if (place.drawn === now) return;
  place.drawn = now;
  put(place, draw(data));
};

/** Tell how something went: below the header for those who see, once for those who hear. */
export const notice = (text, kind = "good") => {
  const place = document.getElementById("notices");
  const gone = () => keepingFocus(() => one.remove());
  const one = h("div", { class: `notice ${kind}`, role: kind === "bad" ? "alert" : null }, h("p", {}, prose(text)), button("Dismiss", gone, { kind: "small quiet" }));
  put(place, one);
  if (kind !== "bad") {
    announce(text);
    setTimeout(gone, 8000);
  }
};

/** Do something that a button asks for: the button waits, and what goes wrong is told. */
export const doing = (work) => async (event) => {
  const asked = event?.currentTarget;
  asked?.setAttribute("aria-disabled", "true");
  try {
    return await work(event);
  } catch (problem) {
    notice(problem.message, "bad");
    return undefined;
  } finally {
    asked?.removeAttribute("aria-disabled");
  }
};

/** A button that changes something; with the token that may only read it cannot be used. */
export const act = (text, work, more = {}) =>
  button(text, doing(work), mayChange() ? more : { ...more, disabled: true, title: "Sign in with the full token to change something." });

/** A dialog over the page; it closes with Escape, gives the focus back, and leaves nothing behind. */
export const dialog = (title, ...children) => {
  const one = h("dialog", { "aria-labelledby": "dialog-title" }, h("h2", { id: "dialog-title" }, title), children);
  const back = focusLater();
  one.addEventListener("close", () => {
    one.remove();
    back();
  });
  document.body.append(one);
  one.showModal();
  return one;
};

/** Ask before something that cannot be taken back. */
export const confirmed = (title, text, yes, kind = "danger") =>
  new Promise((answer) => {
    let said = false;
    const one = dialog(title, [text].flat().map((part) => (part instanceof Node ? part : h("p", {}, part))),
      h("div", { class: "row end" },
        button("Keep it", () => one.close()),
        button(yes, () => { said = true; one.close(); }, { kind })));
    one.addEventListener("close", () => answer(said));
  });
