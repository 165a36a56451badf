// Where the nodes of a graph go: in layers by their longest way from the start, each near to what it is tied to.

const SWEEPS = 8;
const MOST_BENDS = 2000;
const BEND = 0.3;

/** The nodes in layers: all that a layer needs is in those before it. `nodes` are `{name, needs}`. */
export const layered = (nodes) => {
  const known = new Map(nodes.map((one) => [one.name, { one, depth: 0, waits: 0, after: [] }]));
  for (const it of known.values()) {
    for (const above of it.one.needs.map((need) => known.get(need)).filter(Boolean)) {
      above.after.push(it);
      it.waits += 1;
    }
  }
  const ready = [...known.values()].filter((it) => !it.waits);
  const found = [];
  for (const it of ready) {
    (found[it.depth] ||= []).push(it.one);
    for (const next of it.after) {
      next.depth = Math.max(next.depth, it.depth + 1);
      next.waits -= 1;
      if (!next.waits) ready.push(next);
    }
  }
  return found;
};

/** Layers as at most so many bands of neighbouring ones: `{first, last, nodes}`. */
export const banded = (layers, most) => {
  const step = Math.ceil(layers.length / most);
  const starts = layers.map((_, at) => at).filter((at) => at % step === 0);
  return starts.map((at) => ({ first: at, last: Math.min(at + step, layers.length) - 1, nodes: layers.slice(at, at + step).flat() }));
};

const mean = (numbers) => numbers.reduce((sum, one) => sum + one, 0) / numbers.length;

/** Tie each node to what it needs; a tie over several layers bends in each of them, so that it passes between nodes. */
const tied = (nodes, ranks) => {
  const spots = new Map(ranks.flat().map((it) => [it.name, it]));
  const pairs = nodes.flatMap((one) => one.needs.filter((need) => spots.has(need) && spots.has(one.name)).map((need) => [spots.get(need), spots.get(one.name)]));
  const hasBends = pairs.reduce((sum, [from, to]) => sum + to.rank - from.rank - 1, 0) <= MOST_BENDS;
  return pairs.map(([from, to]) => {
    const way = [from];
    for (let rank = from.rank + 1; hasBends && rank < to.rank; rank += 1) {
      const bend = { rank, size: BEND, above: [], below: [], at: 0 };
      ranks[rank].push(bend);
      way.push(bend);
    }
    way.push(to);
    way.slice(1).forEach((it, at) => {
      it.above.push(way[at]);
      way[at].below.push(it);
    });
    return way;
  });
};

/** Order one layer by the mean place of what its nodes are tied to on one side. */
const order = (rank, side) => {
  const wanted = new Map(rank.map((it, at) => [it, it[side].length ? mean(it[side].map((other) => other.place)) : at]));
  rank.sort((one, other) => wanted.get(one) - wanted.get(other));
  rank.forEach((it, at) => { it.place = at; });
};

/** Put one layer as near as can be to where its nodes would like to be, in its order and without overlap. */
const spread = (rank, wanted) => {
  const offsets = [];
  rank.forEach((it, at) => offsets.push(at ? offsets[at - 1] + (rank[at - 1].size + it.size) / 2 : 0));
  const blocks = [];
  rank.forEach((it, at) => {
    let block = { sum: wanted(it) - offsets[at], count: 1 };
    while (blocks.length && blocks.at(-1).sum / blocks.at(-1).count >= block.sum / block.count) {
      const before = blocks.pop();
      block = { sum: before.sum + block.sum, count: before.count + block.count };
    }
    blocks.push(block);
  });
  const starts = blocks.flatMap(({ sum, count }) => Array(count).fill(sum / count));
  rank.forEach((it, at) => { it.at = starts[at] + offsets[at]; });
};

const near = (...sides) => (it) => {
  const others = sides.flatMap((side) => it[side]);
  return others.length ? mean(others.map((other) => other.at)) : it.at;
};

/**
 * Arrange a graph. `spots` tells by name each node's `rank` (its layer) and `at` (its middle across, where a node is 1
 * broad); `ways` are the ties as rows of spots; `ranks` and `breadth` are the size of the whole.
 */
export const arranged = (nodes) => {
  const ranks = layered(nodes).map((layer, rank) => layer.map((one) => ({ name: one.name, rank, size: 1, above: [], below: [], at: 0 })));
  const ways = tied(nodes, ranks);
  for (const rank of ranks) rank.forEach((it, at) => { it.place = at; });
  const upwards = [...ranks].reverse();
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    for (const rank of upwards) order(rank, "below");
    for (const rank of ranks) order(rank, "above");
  }
  for (const rank of ranks) spread(rank, () => 0);
  for (const rank of ranks) spread(rank, near("above"));
  for (const rank of upwards) spread(rank, near("below"));
  for (const rank of ranks) spread(rank, near("above", "below"));
  const all = ranks.flat();
  const first = Math.min(...all.map((it) => it.at - it.size / 2));
  for (const it of all) it.at -= first;
  return {
    spots: new Map(all.filter((it) => it.name !== undefined).map((it) => [it.name, it])),
    ways,
    ranks: ranks.length,
    breadth: Math.max(...all.map((it) => it.at + it.size / 2)),
  };
};
