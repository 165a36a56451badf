// What the days cost, how they ended, how long the work took.

import { chart } from "/static/charts.js";
import { count, day, duration, many, money } from "/static/format.js";

const OUTCOMES = [
  { name: "succeeded", tone: "good" },
  { name: "failed", tone: "bad" },
  { name: "cancelled", tone: "quiet" },
];
const MINUTES = [1, 2, 5, 10, 20, 40, 60, 120];

const dollars = (usd) => (usd === 0 || usd >= 2 ? `$${Math.round(usd * 10) / 10}` : money(usd));
const whole = (value) => (Number.isInteger(value) ? count(value) : "");
const daysBack = (number) => Array.from({ length: number }, (_, at) => day(number - 1 - at));

/** Add up what is known of each day: `{status: {count, seconds, cost_usd}}`. */
const byDay = (rows, name) => {
  const found = new Map();
  for (const row of rows) found.set(`${row.day} ${row.status}`, row[name]);
  return (label, status) => found.get(`${label} ${status}`) || 0;
};

export const costChart = (rows, number) => {
  const labels = daysBack(number);
  const cost = byDay(rows, "cost_usd");
  const values = labels.map((label) => OUTCOMES.reduce((sum, one) => sum + cost(label, one.name), 0));
  const total = values.reduce((sum, one) => sum + one, 0);
  return chart({ title: "Cost per day", note: `${money(total)} in ${number} days`, labels, series: [{ name: "Cost", tone: "accent", values }], format: money, scale: dollars });
};

export const outcomeChart = (rows, number) => {
  const labels = daysBack(number);
  const counts = byDay(rows, "count");
  const series = OUTCOMES.map((one) => ({ ...one, values: labels.map((label) => counts(label, one.name)) }));
  const [good, bad, cancelled] = series.map((one) => sum(one.values));
  const note = [good + bad && `${count(good)} of ${count(good + bad)} succeeded`, cancelled && `${count(cancelled)} cancelled`].filter(Boolean).join(", ");
  return chart({ title: "Outcomes per day", note, labels, series, format: count, scale: whole });
};

export const durationChart = (executions) => {
  const seconds = executions.map((one) => one.seconds).filter((one) => one > 0).sort((a, b) => a - b);
  const values = new Array(MINUTES.length + 1).fill(0);
  for (const one of seconds) {
    const at = MINUTES.findIndex((minutes) => one < minutes * 60);
    values[at < 0 ? MINUTES.length : at] += 1;
  }
  const labels = [...MINUTES.map((minutes) => `< ${minutes < 60 ? `${minutes} m` : `${minutes / 60} h`}`), "more"];
  const at = (share) => duration(seconds[Math.floor((seconds.length - 1) * share)]);
  const note = seconds.length ? `of the last ${many(seconds.length, "execution")}: half took up to ${at(0.5)}, nine in ten up to ${at(0.9)}` : "";
  return chart({ title: "How long the agents worked", note, labels, series: [{ name: "Executions", tone: "accent", values }], format: count, scale: whole, head: "Agent time", ticks: 9, widest: 96 });
};

const sum = (values) => values.reduce((total, one) => total + one, 0);
