// A change as git tells it, file by file.

import { h } from "/static/dom.js";
import { count, many } from "/static/format.js";

const OPEN_LINES = 400;
const MOST_LINES = 5000;
const HUNK = /^@@ -(\d+)(?:,\d+)? \+(\d+)/;

/** Split a unified diff into files, each with its path, its lines and how many were added and removed. */
export const parse = (text) => {
  const files = [];
  for (const row of text.split("\n")) {
    if (row.startsWith("diff --git ")) files.push({ path: row.slice(row.lastIndexOf(" b/") + 3), notes: [], lines: [], added: 0, removed: 0, inside: false });
    const file = files.at(-1);
    if (file) read(file, row);
  }
  return files;
};

const read = (file, row) => {
  const hunk = HUNK.exec(row);
  if (hunk) {
    Object.assign(file, { old: Number(hunk[1]), new: Number(hunk[2]), inside: true });
    file.lines.push({ kind: "hunk", text: row });
  } else if (file.inside && row !== "") {
    readLine(file, row);
  } else if (/^(new file|deleted file|rename|Binary|similarity)/.test(row)) {
    file.notes.push(row.replace(/ mode \d+$/, ""));
  }
};

const readLine = (file, row) => {
  const kind = { "+": "added", "-": "removed", " ": "same" }[row[0]] || "note";
  if (kind === "added") file.added += 1;
  if (kind === "removed") file.removed += 1;
  file.lines.push({
    kind,
    text: row,
    before: kind === "removed" || kind === "same" ? file.old++ : "",
    after: kind === "added" || kind === "same" ? file.new++ : "",
  });
};

const rows = (file) => {
  const shown = file.lines.slice(0, MOST_LINES).map((one) =>
    h("tr", { class: one.kind },
      h("td", { class: "number", "aria-hidden": "true" }, one.before ?? ""),
      h("td", { class: "number", "aria-hidden": "true" }, one.after ?? ""),
      h("td", {}, h("code", {}, one.text))));
  const rest = file.lines.length - shown.length;
  return [
    h("table", { class: "diff" }, h("caption", { class: "unseen" }, `Change of ${file.path}`), h("tbody", {}, shown)),
    rest > 0 && h("p", { class: "note" }, `${count(rest)} more lines; see them with git.`),
  ];
};

/** One file, which draws its lines when it is opened. */
const fileView = (file, isOpen) => {
  const place = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Lines of ${file.path}` });
  const fill = () => { if (!place.hasChildNodes()) place.append(...rows(file).filter(Boolean)); };
  const view = h("details", { class: "file", open: isOpen, ontoggle: () => view.open && fill() },
    h("summary", { "data-key": file.path },
      h("span", { class: "path" }, file.path),
      file.notes.length ? h("span", { class: "muted" }, file.notes[0]) : "",
      h("span", { class: "size" },
        h("span", { class: "plus" }, `+${count(file.added)}`), " ",
        h("span", { class: "minus" }, `−${count(file.removed)}`))),
    place);
  if (isOpen) fill();
  return view;
};

/** All that was changed. */
export const diffView = (text, isCut) => {
  const files = parse(text);
  const [added, removed] = ["added", "removed"].map((name) => files.reduce((sum, one) => sum + one[name], 0));
  let left = OPEN_LINES;
  const views = files.map((file) => {
    const isOpen = file.lines.length <= left;
    if (isOpen) left -= file.lines.length;
    return fileView(file, isOpen);
  });
  return h("div", { class: "files" },
    h("p", { class: "muted" }, `${many(files.length, "file")} changed, ${many(added, "line")} added, ${count(removed)} removed.`),
    isCut && h("p", { class: "note" }, "The change is too large to be shown whole; git shows the rest."),
    views);
};
