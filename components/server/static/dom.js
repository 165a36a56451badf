// Makes elements. Every text is put in as text: nothing that comes from outside is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

const fill = (made, properties, children) => {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.flat(Infinity).filter((one) => one || one === 0).map((one) => (one instanceof Node ? one : String(one))));
  return made;
};

/** An element with attributes, `on…` listeners, and children: elements, texts, lists of them. */
export const h = (tag, properties = {}, ...children) => fill(document.createElement(tag), properties, children);

/** The same in SVG. */
export const s = (tag, properties = {}, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

/** A value in a unit between 0 and 1 as the width of an element: by the object model, which the policy allows. */
export const wide = (made, share) => {
  made.style.setProperty("--share", String(Math.max(0, Math.min(1, share))));
  return made;
};

const PATHS = {
  logo: "M3 12h4l2.5-6 4 12 2.5-6H21",
  plus: "M12 5v14M5 12h14",
  stop: "M7 7h10v10H7z",
  play: "M8 5.5v13l10.5-6.5z",
  again: "M20 11a8 8 0 1 0-2.3 6.2M20 5v6h-6",
  gone: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  back: "M15 5l-7 7 7 7",
  more: "M9 5l7 7-7 7",
  contrast: "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16",
  key: "M14 10a4 4 0 1 0-3.5 4l1.5-1.5h2V10.600M14 10l6-6M17 7l2 2",
};

/** A drawn sign beside a text that says the same. */
export const icon = (name) =>
  s("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" }, s("path", { d: PATHS[name] }));

/** A button. */
export const button = (text, onclick, { kind = "", sign = "", ...more } = {}) =>
  h("button", { type: "button", class: `button ${kind}`, onclick, ...more }, sign && icon(sign), h("span", {}, text));

const folds = (place) => [...place.querySelectorAll("details > summary[data-key]")].map((one) => [one.dataset.key, one.parentElement]);

/** Replace what an element holds; by their `data-key` the focus stays where it was, and what was open stays open. */
export const put = (place, ...children) => {
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.key : "";
  const wasOpen = new Map(folds(place).map(([key, one]) => [key, one.open]));
  place.replaceChildren(...children.flat(Infinity).filter(Boolean));
  for (const [key, one] of folds(place)) if (wasOpen.has(key)) one.open = wasOpen.get(key);
  if (focused) place.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
};

/** A text in which what stands between backticks is code. */
export const prose = (text) => String(text || "").split(/`([^`\n]+)`/).map((part, at) => (at % 2 ? h("code", {}, part) : part)).filter(Boolean);

/** What stands where there is nothing yet: what would be here, and how it comes to be. */
export const empty = (title, text, ...actions) =>
  h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), h("p", {}, prose(text)), actions.length ? h("p", { class: "row" }, actions) : "");

/** Say something to screen readers, once and without hurry. */
export const announce = (text) => {
  document.getElementById("announcer").textContent = text.replaceAll("`", "");
};
