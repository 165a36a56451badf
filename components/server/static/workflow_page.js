// One workflow: its graph as it goes on, what waits for a person, its nodes.

import { get, mayChange, signals } from "/static/api.js";
import { h, keepingFocus } from "/static/dom.js";
import { duration, money, since } from "/static/format.js";
import { Graph } from "/static/graph_view.js";
import { act, badge, elapsed, moment, redraw, section } from "/static/parts.js";
import { cancelWorkflow, question, retryWorkflow, runWorkflow } from "/static/workflow_actions.js";
import { NodeTable, drawnSteps, nodeFacts, steps } from "/static/workflow_nodes.js";
import { WRONG, bar, counted, nodeTone, told } from "/static/workflow_parts.js";

const MOST_DRAWN = 150;
const MOST_TIES = 600;
const MOST_BESIDE_FACTS = 16;
const LEFT_ALONE = 60;
const PACE = 1500;
const SHARE_OF_TIME = 10;
const ITEM = /^(.*)\[\d+\]$/;

/** Nodes as they are drawn: the items of a map are told by the map. */
const drawn = (nodes) => {
  const names = new Set(nodes.map((one) => one.name));
  const isItem = (one) => names.has(ITEM.exec(one.name)?.[1]);
  const items = new Map();
  for (const one of nodes.filter(isItem)) {
    const map = ITEM.exec(one.name)[1];
    items.set(map, [...(items.get(map) || []), one]);
  }
  return nodes.filter((one) => !isItem(one)).map((one) => {
    const of = items.get(one.name);
    return of ? { ...one, note: `${of.filter((item) => item.status === "completed").length} of ${of.length}` } : one;
  });
};

const isSmall = (nodes) => nodes.length <= MOST_DRAWN && nodes.reduce((sum, one) => sum + one.needs.length, 0) <= MOST_TIES;

const head = ({ one, counts, isAlone }, refresh) => {
  const can = (text, work, sign, kind = "") => act(text, () => work(one).then(refresh), { sign, kind, "data-key": text });
  const hasWrong = WRONG.some((status) => counts[status]);
  return [
    h("div", { class: "execution-head" },
      h("div", { class: "counts" },
        h("p", { class: "facts" }, badge(one.status, nodeTone(one.status)), h("code", {}, one.id.slice(0, 8)), h("span", {}, told(counts))),
        bar(counts)),
      h("div", { class: "row" },
        one.status === "pending" && can("Run", runWorkflow, "play", "primary"),
        isAlone && can("Resume", runWorkflow, "play"),
        one.status !== "pending" && hasWrong && can("Retry what failed", retryWorkflow, "again"),
        ["pending", "active"].includes(one.status) && can("Cancel", cancelWorkflow, "stop", "danger"))),
    one.description && h("p", { class: "prose summary" }, one.description),
    one.error && h("div", { class: "notice bad" }, h("p", {}, one.error)),
    isAlone && h("p", { class: "note summary" }, "What is queued is taken up by nobody. If no worker runs elsewhere, “Resume” starts one."),
    !mayChange() && h("p", { class: "muted summary" }, "This token may only read: sign in with the full one to run, cancel or answer."),
  ];
};

const facts = ({ one, cost }) => {
  const time = one.started_at && (one.ended_at ? duration(since(one.started_at) - since(one.ended_at)) : elapsed(one.started_at));
  const rows = [["Time", time], ["Cost", money(cost)], ["Project", h("code", {}, one.project)], ["Entered", moment(one.created_at)], ["Begun", one.started_at && moment(one.started_at)], ["Ended", one.ended_at && moment(one.ended_at)]];
  return h("dl", { class: "facts-list" }, rows.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
};

/** Queued for long while nothing is at work: whoever worked on it has gone. */
const isLeftAlone = (one, nodes) =>
  one.status === "active" && !nodes.some((node) => node.status === "active") && nodes.some((node) => node.status === "queued" && since(node.queued_at) > LEFT_ALONE);

/** The page of one workflow. It follows the moves of its agents, and reads the rest of them in between. */
export const workflowPage = (place, given, id, title) => {
  const places = Object.fromEntries(["head", "steps", "node", "facts"].map((name) => [name, h("div")]));
  const address = (name) => `#/workflows/${id}?${new URLSearchParams({ node: name })}`;
  const link = (name) => h("a", { href: address(name), class: "strong", "data-key": `node-${name}`, onclick: (event) => { event.preventDefault(); choose(name); } }, name);
  places.steps.className = "steps";
  const graph = new Graph({ choose: (name) => choose(name), address });
  const list = new NodeTable(link);
  const questions = h("ul", { class: "cards" });
  const asking = h("div", { hidden: true }, section("For you to answer", "", questions));
  const nodePanel = section("Node", "", places.node);
  const page = { often: true, pace: PACE, close: () => { signals.removeEventListener("news", hear); cancelAnimationFrame(frame); graph.close(); } };
  let chosen = given.get("node") || "";
  let whole = null;
  let frame = 0;

  const choose = (name) => {
    chosen = name;
    history.replaceState(null, "", address(name));
    draw();
    nodePanel.scrollIntoView({ block: "nearest" });
  };

  const drawQuestions = (nodes) => {
    const known = new Map([...questions.children].map((one) => [one.dataset.id, one]));
    const waiting = nodes.filter((one) => one.status === "awaiting");
    for (const node of waiting) if (!known.delete(node.id)) {
      const asked = question(whole, node, page.refresh);
      asked.dataset.id = node.id;
      questions.append(asked);
    }
    for (const one of known.values()) keepingFocus(() => one.remove());
    asking.hidden = !waiting.length;
  };

  const draw = () => {
    const { agents: nodes, mermaid: _, ...one } = whole;
    const shown = drawn(nodes);
    const node = nodes.find((it) => it.name === chosen);
    redraw(places.head, { one, counts: counted(nodes), isAlone: isLeftAlone(one, nodes) }, (data) => head(data, page.refresh));
    redraw(places.facts, { one, cost: nodes.reduce((sum, it) => sum + it.cost_usd, 0) }, facts);
    drawQuestions(nodes);
    graph.element.hidden = !isSmall(shown) || !shown.length;
    places.steps.hidden = !graph.element.hidden;
    if (graph.element.hidden) redraw(places.steps, steps(shown), (data) => (shown.length ? drawnSteps(data) : h("p", { class: "muted" }, "It has no node yet; POST /api/workflows/{id}/nodes adds one.")));
    else graph.draw(shown, chosen);
    nodePanel.hidden = !node;
    if (node) {
      nodePanel.querySelector("h2").textContent = node.name;
      redraw(places.node, node, (it) => nodeFacts(it, link));
    }
    list.show(nodes);
  };

  /** A move is shown at once; what came of it is read after it. */
  const hear = ({ detail: news }) => {
    if (news.type !== "agent" || news.workflow_id !== whole?.id) return;
    const moved = news.agent_id ? whole.agents.find((one) => one.id === news.agent_id) : whole;
    if (!moved) return;
    moved.status = news.after;
    if (news.after === "active") moved.started_at = news.at;
    if (["awaiting", "queued"].includes(news.after)) moved.queued_at = news.at;
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(draw);
  };

  page.refresh = async () => {
    const began = Date.now();
    const found = await get(`/api/workflows/${id}`);
    found.agents.forEach((one) => { one.name = one.node || one.id.slice(0, 8); });
    const isFirst = !whole;
    whole = found;
    if (isFirst) {
      title(whole.name);
      place.append(places.head, asking,
        h("div", { class: `split execution ${whole.agents.length > MOST_BESIDE_FACTS ? "below" : ""}` }, section("Graph", "", graph.element, places.steps), h("aside", { "aria-label": "Facts" }, nodePanel, section("Facts", "", places.facts))),
        section("Nodes", "", list.element));
    }
    draw();
    page.pace = Math.max(PACE, SHARE_OF_TIME * (Date.now() - began));
  };
  signals.addEventListener("news", hear);
  return page;
};
