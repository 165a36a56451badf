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

const named = (name, value, place = document.getElementById("main")) => (value ? place.querySelector(`[data-${name}="${CSS.escape(value)}"]`) : null);

/** Where an element is, in words that outlive it: its key, its card or row with those after and before it, its status line. */
const spotOf = (element) => {
  const item = element.closest("[data-item]");
  const items = item ? [...item.parentElement.children] : [];
  const at = items.indexOf(item);
  return {
    element,
    key: element.dataset.key,
    items: [...items.slice(at), ...items.slice(0, Math.max(at, 0)).reverse()].map((one) => one.dataset.item),
    status: element.closest("[data-has-status]")?.dataset.hasStatus,
  };
};

/** Give the focus back: to the same thing, to its card or row, to the one after it, to the status line, to the heading. */
const focusAt = ({ element, key, items, status }, place) => {
  if (document.querySelector("dialog[open]")) return;
  const same = element.isConnected && element !== document.body ? element : named("key", key, place);
  const near = same || items.map((item) => named("item", item)).find(Boolean) || named("status", status);
  (near || document.querySelector("main h1"))?.focus({ preventScroll: same === near });
};

/** Change something on the page without losing the focus, which would send whoever uses the keyboard back to its top. */
export const keepingFocus = (change, place) => {
  const spot = spotOf(document.activeElement || document.body);
  change();
  if (!spot.element.isConnected) focusAt(spot, place);
};

/** What gives the focus back to where it is now, whatever is drawn anew until then. */
export const focusLater = () => {
  const spot = spotOf(document.activeElement || document.body);
  return () => focusAt(spot);
};

/** Replace what an element holds; the focus stays where it was, or near it, and what was open stays open. */
export const put = (place, ...children) => {
  const wasOpen = new Map(folds(place).map(([key, one]) => [key, one.open]));
  keepingFocus(() => place.replaceChildren(...children.flat(Infinity).filter(Boolean)), place);
  for (const [key, one] of folds(place)) if (wasOpen.has(key)) one.open = wasOpen.get(key);
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
