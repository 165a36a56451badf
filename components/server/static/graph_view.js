// A graph drawn as SVG: a box for each node, with its status in words; arrow keys go from one to the next.

import { h, put, s } from "/static/dom.js";
import { words } from "/static/format.js";
import { arranged } from "/static/graph_layout.js";
import { nodeTone, timeOf } from "/static/workflow_parts.js";

const BOX = { width: 168, height: 48 };
const SMALL = { width: 140, height: 48 };
const GAP = { across: 16, along: 40 };
const MARGIN = 6;
const LETTER = 7.6;
const NARROW = 480;
const SMALLEST = 0.7;
const STEPS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };

/** Places in pixels: from left to right where that fits or is narrower, else from top to bottom. */
const placed = (nodes, width) => {
  const { spots, ways, ranks, breadth } = arranged(nodes);
  const box = width < NARROW ? SMALL : BOX;
  const across = ranks * (box.width + GAP.along) - GAP.along + 2 * MARGIN;
  const isAcross = across <= Math.max(width, breadth * (box.width + GAP.across));
  const [broad, long] = isAcross ? [box.height, box.width] : [box.width, box.height];
  const turned = (along, side) => (isAcross ? { x: along, y: side } : { x: side, y: along });
  const middle = (it) => turned(MARGIN + it.rank * (long + GAP.along) + long / 2, MARGIN + it.at * (broad + GAP.across) - GAP.across / 2);
  const whole = turned(ranks * (long + GAP.along) - GAP.along + 2 * MARGIN, breadth * (broad + GAP.across) - GAP.across + 2 * MARGIN);
  return { box, whole, boxes: new Map([...spots].map(([name, it]) => [name, middle(it)])), lines: ways.map((way) => line(way.map(middle), long / 2, isAcross)) };
};

/** A way as a path: straight beside the layers that it passes, curved between them. */
const line = (points, half, isAcross) => {
  const moved = ({ x, y }, by) => (isAcross ? { x: x + by, y } : { x, y: y + by });
  const text = ({ x, y }) => `${Math.round(x)} ${Math.round(y)}`;
  const parts = points.slice(1).map((point, at) => {
    const [from, to] = [moved(points[at], half), moved(point, -half)];
    const bend = GAP.along / 2;
    return `${at ? "L" : "M"}${text(from)}C${text(moved(from, bend))} ${text(moved(to, -bend))} ${text(to)}`;
  });
  return parts.join("");
};

const cut = (text, width) => {
  const letters = Math.floor((width - 24) / LETTER);
  return text.length > letters ? `${text.slice(0, letters - 1)}…` : text;
};

const time = (one) => {
  const shown = timeOf(one);
  return shown === "" ? [] : [" · ", shown instanceof Node ? s("tspan", { "data-since": shown.dataset.since }, shown.textContent) : shown];
};

const drawnNode = (one, { x, y }, box, { chosen, address }) => {
  const [left, top] = [x - box.width / 2, y - box.height / 2];
  const frame = (by, more = {}) => s("rect", { x: left + by, y: top + by, width: box.width, height: box.height, rx: one.kind === "approval" ? box.height / 2 : 8, ...more });
  const inset = one.kind === "approval" ? 18 : 14;
  return s("a", { class: `node ${nodeTone(one.status)}`, href: address(one.name), "data-key": `box-${one.name}`, "data-name": one.name, "aria-label": `${one.name}, ${words(one.status)}${one.note ? `, ${one.note}` : ""}`, "aria-current": one.name === chosen ? "true" : null },
    s("title", {}, `${one.name}: ${one.title}`),
    one.kind === "map" && frame(4, { class: "behind" }),
    frame(0, { class: "box" }),
    s("text", { x: left + inset, y: top + 20, class: "node-name" }, cut(one.name, box.width)),
    s("rect", { x: left + inset, y: top + 30, width: 8, height: 8, rx: 4, class: "mark" }),
    s("text", { x: left + inset + 13, y: top + 38, class: "node-state" }, words(one.status), one.note ? ` · ${one.note}` : time(one)));
};

/** The graph in a place of its own, which is drawn anew when its width or what it shows has changed. */
export class Graph {
  constructor({ choose, address }) {
    Object.assign(this, { choose, address, nodes: [], chosen: "", shape: "", width: 0 });
    this.element = h("div", { class: "graph", onclick: (event) => this.clicked(event), onkeydown: (event) => this.pressed(event) });
    this.observer = new ResizeObserver(([entry]) => {
      const width = Math.round(entry.contentRect.width);
      if (width > 0 && width !== this.width) this.draw(this.nodes, this.chosen, width);
    });
    this.observer.observe(this.element);
  }

  draw(nodes, chosen, width = this.width) {
    Object.assign(this, { nodes, chosen, width });
    if (!nodes.length || !width) return;
    const shape = JSON.stringify([width, nodes.map((one) => [one.name, one.needs])]);
    const isNew = shape !== this.shape;
    if (isNew) Object.assign(this, { shape, placed: placed(nodes, width) });
    const { box, whole, boxes, lines } = this.placed;
    const scale = Math.max(SMALLEST, Math.min(1, width / whole.x));
    const label = `Graph of ${nodes.length} nodes. Arrow keys go from one to the next; the table below says the same.`;
    put(this.element, s("svg", { width: Math.floor(whole.x * scale), height: Math.floor(whole.y * scale), viewBox: `0 0 ${whole.x} ${whole.y}`, role: "group", "aria-label": label },
      s("defs", {}, s("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, s("path", { d: "M0 0L8 4L0 8z", class: "arrow" }))),
      lines.map((d) => s("path", { d, class: "tie", "marker-end": "url(#arrow)" })),
      nodes.filter((one) => boxes.has(one.name)).map((one) => drawnNode(one, boxes.get(one.name), box, this))));
    this.keepOneStop(document.activeElement?.dataset.name || chosen);
    if (isNew) this.scrollTo(boxes.get((nodes.find((one) => one.name === chosen) || nodes.find((one) => one.status === "active") || nodes[0]).name), scale);
  }

  /** Begin where the work is: the middle of a large graph may be anywhere. */
  scrollTo({ x, y }, scale) {
    this.element.scrollTo(x * scale - this.width / 2, y * scale - this.element.clientHeight / 2);
  }

  links() {
    return [...this.element.querySelectorAll("a.node")];
  }

  /** Tab comes to the graph once; within it the arrow keys go on. */
  keepOneStop(name) {
    const links = this.links();
    const stop = links.find((one) => one.dataset.name === name) || links[0];
    for (const one of links) one.setAttribute("tabindex", one === stop ? "0" : "-1");
  }

  clicked(event) {
    const link = event.target.closest("a.node");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    this.choose(link.dataset.name);
  }

  pressed(event) {
    const [right, down] = STEPS[event.key] || [];
    const from = this.placed?.boxes.get(event.target.dataset?.name);
    if (right === undefined || !from) return;
    event.preventDefault();
    const far = ([, { x, y }]) => {
      const ahead = (x - from.x) * right + (y - from.y) * down;
      const aside = Math.abs((x - from.x) * down) + Math.abs((y - from.y) * right);
      return ahead > 1 ? ahead + 2 * aside : Infinity;
    };
    const [name] = [...this.placed.boxes].reduce((best, one) => (far(one) < far(best) ? one : best), [event.target.dataset.name, from]);
    this.keepOneStop(name);
    this.links().find((one) => one.dataset.name === name)?.focus();
  }

  close() {
    this.observer.disconnect();
  }
}
