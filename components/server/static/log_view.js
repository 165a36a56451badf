// The live output of an execution, as lines that a person reads.

import { button, h, icon } from "/static/dom.js";
import { count, words } from "/static/format.js";
import { Connection } from "/static/live.js";

const MOST_LINES = 4000;
const MOST_LAG = 4 << 20;
const NEAR = 40;

/** Follows one execution. `tail` is with how many bytes of the end it begins; `most` how many lines are kept. */
export class Log {
  constructor(id, { tail = 256 << 10, most = MOST_LINES, label = "Output of the agent", isSmall = false, ended = () => {} } = {}) {
    Object.assign(this, { id, tail, most, ended, isSmall, waiting: [], attempt: 0, isOver: false, isTorn: {} });
    this.lines = h("div", { class: "log-lines", role: isSmall ? null : "region", "aria-label": isSmall ? null : label, tabindex: isSmall ? null : "0" });
    this.state = h("p", { class: "log-state" }, "Connecting…");
    this.latest = button("Latest output", () => this.toEnd(), { kind: "small log-latest", hidden: true });
    this.earlier = button("Show it from the beginning", () => this.fromBeginning(), { kind: "small quiet", hidden: true });
    this.element = h("div", { class: isSmall ? "log small" : "log" }, !isSmall && this.earlier, this.lines, this.latest, !isSmall && this.state);
    this.lines.addEventListener("scroll", () => { this.latest.hidden = this.isSmall || this.isAtEnd(); }, { passive: true });
    this.begin();
  }

  begin() {
    this.isOver = false;
    this.connection?.close();
    this.connection = new Connection({ path: () => this.path(), hear: (frame) => this.hear(frame), state: (state) => this.tell(state) });
  }

  close() {
    this.connection.close();
    cancelAnimationFrame(this.painting);
  }

  fromBeginning() {
    Object.assign(this, { tail: 0, position: null, attempt: 0, waiting: [], isTorn: {}, most: 50000 });
    this.lines.replaceChildren();
    this.earlier.hidden = true;
    this.lines.focus();
    this.begin();
  }

  path() {
    const { stdout, stderr } = this.position || { stdout: -this.tail, stderr: -this.tail };
    return `/ws/executions/${this.id}?view=lines&from=${stdout}&from_stderr=${stderr}&max_lag=${MOST_LAG}`;
  }

  tell(state) {
    const said = { open: "Live", lost: "The connection broke; it goes on from here when it is back.", ended: "" };
    if (state === "ended" && !this.isOver) this.isOver = true;
    if (state !== "ended") this.state.textContent = said[state];
  }

  hear(frame) {
    this[`on_${frame.type}`]?.(frame);
    if (this.waiting.length && !this.painting) this.painting = requestAnimationFrame(() => this.paint());
  }

  on_start(frame) {
    if (this.position) return;
    this.position = { ...frame.offsets };
    this.isTorn = { stdout: frame.offsets.stdout > 0, stderr: frame.offsets.stderr > 0 };
    this.earlier.hidden = !(this.isTorn.stdout || this.isTorn.stderr);
  }

  on_attempt(frame) {
    if (frame.attempt <= this.attempt) return;
    this.attempt = frame.attempt;
    if (frame.attempt > 1) this.add("attempt", "", `Attempt ${frame.attempt}`);
  }

  on_lines(frame) {
    this.position[frame.stream] = frame.end;
    const whole = this.isTorn[frame.stream] ? frame.lines.slice(1) : frame.lines;
    this.isTorn[frame.stream] = false;
    for (const one of whole) this.add(one.kind, one.sign, one.text, one.depth);
  }

  on_gap(frame) {
    this.position[frame.stream] = frame.end;
    this.add("gap", "", `${count(frame.skipped)} bytes are not shown: they came faster than a page can show them.`);
  }

  on_error(frame) {
    this.state.textContent = frame.message;
  }

  on_exit(frame) {
    this.isOver = true;
    const how = [words(frame.reason || frame.status), frame.exit_code === null ? "" : `exit code ${frame.exit_code}`, frame.detail];
    this.state.textContent = `It ended: ${how.filter(Boolean).join(" · ")}`;
    this.ended(frame);
  }

  add(kind, sign, text, depth = 0) {
    this.waiting.push({ kind, sign, text, depth });
    if (this.waiting.length > 2 * this.most) this.waiting.splice(0, this.waiting.length - this.most);
  }

  paint() {
    this.painting = 0;
    const isFollowing = this.isAtEnd();
    const coming = this.waiting.slice(-this.most);
    if (coming.some((one) => one.sign.trim())) this.lines.classList.add("signed");
    const made = coming.map(line);
    this.waiting = [];
    this.lines.append(...made);
    const surplus = this.lines.childElementCount - this.most;
    for (let number = 0; number < surplus; number += 1) this.lines.firstChild.remove();
    if (surplus > 0) this.earlier.hidden = this.isSmall || this.tail === 0;
    if (isFollowing) this.toEnd();
  }

  isAtEnd() {
    return this.lines.scrollHeight - this.lines.scrollTop - this.lines.clientHeight < NEAR;
  }

  toEnd() {
    this.lines.scrollTop = this.lines.scrollHeight;
    this.latest.hidden = true;
  }
}

const line = ({ kind, sign, text, depth }) =>
  h("div", { class: `line ${kind}`, "data-depth": depth || null }, h("span", { class: "mark" }, sign.trim()), h("span", { class: "text" }, text || "\u00a0"));
