// Charts drawn as SVG, each with a table that says the same.

import { h, s } from "/static/dom.js";

const HEIGHT = 168;
const MARGIN = { top: 8, right: 4, bottom: 22, left: 44 };
const NARROW = 420;
const WORD = 44;

/** Round up to a number that people like on an axis. */
const ceiling = (value) => {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value);
};

const axis = (top, width, format) =>
  [0, 0.5, 1].map((share) => {
    const y = MARGIN.top + (HEIGHT - MARGIN.top - MARGIN.bottom) * (1 - share);
    return s("g", {},
      s("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y, class: share ? "grid" : "base" }),
      s("text", { x: MARGIN.left - 6, y: y + 4, class: "tick", "text-anchor": "end" }, format(top * share)));
  });

/** Stacked bars over labels. `series` are `{name, tone, values}`; the values go with the labels. */
const drawn = ({ title, labels, series, format, scale = format, widest = 28, ticks }, width) => {
  const sums = labels.map((_, at) => series.reduce((sum, one) => sum + one.values[at], 0));
  const top = ceiling(Math.max(...sums, 0));
  const room = { x: width - MARGIN.left - MARGIN.right, y: HEIGHT - MARGIN.top - MARGIN.bottom };
  const step = room.x / labels.length;
  const bar = Math.max(2, Math.min(widest, step * 0.72));
  const every = Math.ceil(labels.length / (width < NARROW ? 4 : ticks || 7));
  const bars = labels.map((label, at) => {
    const x = MARGIN.left + step * at + (step - bar) / 2;
    let y = MARGIN.top + room.y;
    const parts = series.filter((one) => one.values[at] > 0).map((one) => {
      const height = Math.max(1, (one.values[at] / top) * room.y);
      y -= height;
      return s("rect", { x, y, width: bar, height, rx: Math.min(2, bar / 4), class: `bar ${one.tone}` });
    });
    const said = `${label}: ${series.map((one) => `${series.length > 1 ? `${one.name} ` : ""}${format(one.values[at])}`).join(", ")}`;
    const field = s("rect", { x: MARGIN.left + step * at, y: MARGIN.top, width: step, height: room.y, class: "field" });
    const isTick = (labels.length - 1 - at) % every === 0;
    const isLast = at === labels.length - 1;
    const tick = isTick && s("text", { x: isLast && step < WORD ? width - MARGIN.right : x + bar / 2, y: HEIGHT - 6, class: "tick", "text-anchor": isLast && step < WORD ? "end" : "middle" }, short(label));
    return s("g", { class: "column" }, s("title", {}, said), field, parts, tick);
  });
  return s("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": `${title}. The table below says the same.` }, axis(top, width, scale), bars);
};

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const short = (label) => {
  const day = /^\d{4}-(\d\d)-(\d\d)$/.exec(label);
  return day ? `${Number(day[2])} ${MONTHS[day[1] - 1]}` : label;
};

const table = ({ title, labels, series, format, head = "Day" }) =>
  h("details", { class: "figures" },
    h("summary", {}, "Show as a table"),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${title}, as a table` },
      h("table", {},
        h("caption", { class: "unseen" }, title),
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, head), series.map((one) => h("th", { scope: "col", class: "right" }, one.name)))),
        h("tbody", {}, labels.map((label, at) =>
          h("tr", {}, h("th", { scope: "row" }, label), series.map((one) => h("td", { class: "right" }, format(one.values[at])))))))));

/** A chart with its title, its legend and its table; it is drawn anew when its width changes. */
export const chart = (told) => {
  const place = h("div", { class: "plot" });
  const observer = new ResizeObserver(([entry]) => {
    const width = Math.round(entry.contentRect.width);
    if (!place.isConnected) observer.disconnect();
    else if (width > 0 && place.dataset.width !== String(width)) {
      place.dataset.width = width;
      place.replaceChildren(drawn(told, width));
    }
  });
  observer.observe(place);
  const legend = told.series.length > 1 && h("ul", { class: "legend" }, told.series.map((one) => h("li", {}, h("span", { class: `swatch ${one.tone}` }), one.name)));
  return h("figure", { class: "chart" },
    h("figcaption", {}, h("span", { class: "chart-title" }, told.title), told.note && h("span", { class: "muted" }, told.note), legend),
    place, table(told));
};
