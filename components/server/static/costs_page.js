// What it all costs, how it ends, how long it takes.

import { address, get } from "/static/api.js";
import { empty, h, put, wide } from "/static/dom.js";
import { compact, count, day, last, money } from "/static/format.js";
import { costChart, durationChart, outcomeChart } from "/static/history_charts.js";
import { doing, redraw, section } from "/static/parts.js";

const PERIODS = [7, 14, 30, 90];
const KINDS = [["model", "By model"], ["agent", "By agent"], ["project", "By project"]];
const SHOWN = 8;
const SAMPLE = 100;

const shares = (costs, name) => {
  const most = Math.max(...costs.map((one) => one.usd), 0.01);
  const rows = [...costs].sort((a, b) => b.usd - a.usd).slice(0, SHOWN);
  return h("table", { class: "shares" },
    h("caption", { class: "unseen" }, name),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Name"), h("th", { scope: "col", class: "right" }, "Runs"), h("th", { scope: "col", class: "right" }, "Tokens"), h("th", { scope: "col", class: "right" }, "Cost"))),
    h("tbody", {}, rows.map((one) => h("tr", {},
      h("th", { scope: "row", title: one.key }, last(one.key) || "unknown", wide(h("span", { class: "share" }), one.usd / most)),
      h("td", { class: "right figure" }, count(one.runs)),
      h("td", { class: "right figure" }, compact(one.input_tokens + one.output_tokens)),
      h("td", { class: "right figure" }, money(one.usd))))));
};

/** The figures. */
export const costsPage = (place, given) => {
  let days = Number(given.get("days")) || 30;
  const charts = h("div");
  const tables = h("div");
  const period = h("fieldset", { class: "field states" }, h("legend", {}, "Period"), PERIODS.map((one) =>
    h("label", { class: "chip" }, h("input", { type: "radio", name: "days", value: one, checked: one === days }), h("span", {}, `${one} days`))));
  period.addEventListener("change", (event) => {
    days = Number(event.target.value);
    history.replaceState(null, "", `#/costs?days=${days}`);
    doing(refresh)();
  });
  place.append(h("form", { class: "filters" }, period), charts, tables);

  const refresh = async () => {
    const since = day(days - 1);
    const [shown, past, ...costs] = await Promise.all([
      get(`/api/days?days=${days}`),
      get(address("/api/agent-runtime/executions", { status: ["succeeded", "failed"], since, limit: SAMPLE })),
      ...KINDS.map(([by]) => get(address("/api/costs", { by, since }))),
    ]);
    redraw(charts, [days, shown.days, past.executions.map((one) => one.seconds)], () => (shown.days.length
      ? [section("Per day", "", h("div", { class: "split even" }, costChart(shown.days, days), outcomeChart(shown.days, days))), section("Durations", "", durationChart(past.executions))]
      : empty("No figures yet", "When executions have ended, this shows what each day cost, how they ended and how long they took.")));
    redraw(tables, costs, () => costs[0].costs.length > 0 && h("div", { class: "split thirds" }, KINDS.map(([by, name], at) => section(name, "", shares(costs[at].costs, name)))));
  };
  return { refresh, close: () => put(charts) };
};
