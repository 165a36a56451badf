// Tabs as the keyboard and screen readers know them.

import { h } from "/static/dom.js";

const STEPS = { ArrowRight: 1, ArrowLeft: -1 };

/** Panes of which one is seen. `panes` are `[name, element]`; `shown` is called when one comes to be seen. */
export const tabs = (label, panes, shown = () => {}) => {
  const show = (chosen, isFocused) => {
    heads.forEach((head, at) => {
      head.setAttribute("aria-selected", String(at === chosen));
      head.tabIndex = at === chosen ? 0 : -1;
      bodies[at].hidden = at !== chosen;
    });
    if (isFocused) heads[chosen].focus();
    shown(panes[chosen][0]);
  };
  const onkeydown = (event) => {
    const at = heads.indexOf(event.currentTarget);
    const wanted = { Home: 0, End: heads.length - 1 }[event.key] ?? (STEPS[event.key] ? (at + STEPS[event.key] + heads.length) % heads.length : -1);
    if (wanted < 0) return;
    event.preventDefault();
    show(wanted, true);
  };
  const heads = panes.map(([name], at) => h("button", { type: "button", role: "tab", id: `tab-${at}`, "aria-controls": `pane-${at}`, onclick: () => show(at), onkeydown }, name));
  const bodies = panes.map(([, body], at) => h("div", { role: "tabpanel", id: `pane-${at}`, "aria-labelledby": `tab-${at}` }, body));
  show(0);
  return [h("div", { role: "tablist", class: "tabs", "aria-label": label }, heads), bodies];
};
