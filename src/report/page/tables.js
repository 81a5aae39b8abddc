// SPDX-License-Identifier: MIT
// Text and tables of the report.
"use strict";

function escapeHtml(text) {
  return String(text).replace(/[&<>"']/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" }[c]));
}

// An element with properties and children; text never becomes markup.
function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  Object.assign(element, properties || {});
  element.append(...children.filter((c) => c !== null && c !== undefined));
  return element;
}

function section(id, title, text) {
  const place = make("section", { id }, make("h2", {}, title), text ? make("p", { className: "quiet" }, text) : null);
  document.getElementById("sections").append(place);
  document.getElementById("contents").append(make("a", { href: "#" + id }, title));
  return place;
}

function chartIn(place) {
  const chart = make("div", { className: "chart" });
  place.append(chart);
  return chart;
}

// choices: [[value, text]]; calls `changed` with the value now and at every change.
function chooser(place, label, choices, changed) {
  const select = make("select", { ariaLabel: label }, ...choices.map(([value, text]) => make("option", { value }, text)));
  place.append(make("label", {}, label + " ", select));
  select.addEventListener("change", () => changed(select.value));
  return select;
}

function percent(x, digits = 2) {
  return (100 * x).toFixed(digits);
}

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; ++i; }
  return n.toFixed(n < 10 && i > 0 ? 1 : 0) + " " + units[i];
}

function table(place, head, rows, classOf) {
  const body = rows.map((cells, r) => make("tr", { className: classOf ? classOf(r) : "" },
    ...cells.map((cell) => cell instanceof Node ? cell : make("td", {}, cell))));
  place.append(make("div", { className: "scroll" }, make("table", {},
    make("thead", {}, make("tr", {}, ...head.map((h) => make("th", { scope: "col" }, h)))), make("tbody", {}, ...body))));
}

function statisticCell(s, best, unfinished, qualified) {
  const more = unfinished > 0 ? make("span", { className: "count" }, ` +${unfinished} not finished`) : null;
  if (!s) return make("td", {}, more ? "" : "–", more);
  return make("td", { className: best ? "best" : "" }, percent(s.mean),
    s.n > 1 ? make("span", { className: "spread" }, ` ± ${percent(s.std)}`) : null, make("span", { className: "count" }, ` (${s.n})`), qualified ? make("abbr", { title: "see the notes of its runs" }, " †") : null, more);
}

// The best module of a column is set in bold, controls aside; nothing is bold where there is nothing to compare.
function bestOf(rows, get) {
  const values = rows.filter((r) => !r.control).map(get).filter((v) => v !== null && v !== undefined);
  return values.length > 1 ? Math.max(...values) : Infinity;
}

function accuracyTable(place, data, which) {
  const { columns, rows, has_average } = data.table;
  const cellOf = (row, c) => row.cells.find((cell) => cell.column === c);
  const best = columns.map((_, c) => bestOf(rows, (r) => cellOf(r, c)?.[which]?.mean));
  const bestAverage = bestOf(rows, (r) => r.average?.mean);
  const averages = has_average && which === "best";
  table(place, ["module", ...columns.map((c) => c.title), ...(averages ? ["average"] : [])],
    rows.map((row) => [row.label + (row.control ? " (control)" : ""),
      ...columns.map((_, c) => {
        const cell = cellOf(row, c);
        return statisticCell(cell?.[which], cell?.[which]?.mean === best[c], cell?.unfinished || 0, cell?.qualified);
      }),
      ...(averages ? [make("td", { className: row.average?.mean === bestAverage ? "best" : "" }, row.average ? percent(row.average.mean) : "–")] : [])]),
    (r) => rows[r].control ? "control" : "");
}

function costTable(place, data) {
  const { columns, rows } = data.table;
  table(place, ["module", ...columns.map((c) => c.title)], rows.map((row) => [row.label, ...columns.map((_, c) => {
    const cell = row.cells.find((x) => x.column === c);
    if (!cell || !cell.steps_per_second) return "–";
    return `${cell.steps_per_second.mean.toPrecision(3)} steps/s, ${cell.peak_memory_bytes ? bytes(cell.peak_memory_bytes.mean) : "–"}, ` +
      `${cell.parameters ? Math.round(cell.parameters.mean).toLocaleString("en") : "–"} parameters`;
  })]), (r) => rows[r].control ? "control" : "");
}

function publishedTables(place, published) {
  for (const t of published) {
    place.append(make("h3", {}, `${t.source}, ${t.table}`), make("p", { className: "quiet" }, `Protocol: ${t.protocol}. ${t.note}`));
    table(place, ["model", ...t.tasks], t.rows.map((r) => [r.model, ...t.tasks.map((k) => k in r.percent ? r.percent[k].toFixed(2) : "–")]));
  }
}

// Keys whose values are not the same in all runs come first and are marked; the rest is one click away.
function configTable(place, runs, bookkeeping) {
  const keys = [...new Set(runs.flatMap((r) => Object.keys(r.config)))].sort();
  const valuesOf = (key) => new Set(runs.map((r) => r.config[key]).filter((v) => v !== undefined));
  const everywhere = (key) => runs.every((r) => key in r.config);
  const rowsOf = (chosen, marked) => chosen.map((key) => [make("td", {}, make("code", {}, key), bookkeeping.includes(key) ? make("span", { className: "count" }, " bookkeeping") : null),
    ...runs.map((r) => make("td", { className: marked ? "differs" : "" }, r.config[key] ?? "–"))]);
  const head = ["key", ...runs.map((r) => r.name)];
  const more = (title, chosen) => {
    if (chosen.length === 0) return;
    const details = make("details", {}, make("summary", {}, `${chosen.length} ${title}`));
    table(details, head, rowsOf(chosen, false));
    place.append(details);
  };
  const different = keys.filter((key) => valuesOf(key).size > 1);
  if (different.length > 0) table(place, head, rowsOf(different, true));
  more("keys that not every run has (options of a module)", keys.filter((k) => valuesOf(k).size === 1 && !everywhere(k)));
  const same = keys.filter((k) => valuesOf(k).size === 1 && everywhere(k));
  const details = make("details", {}, make("summary", {}, `${same.length} keys that are the same in all runs`));
  table(details, ["key", "value"], same.map((key) => [make("td", {}, make("code", {}, key)), runs[0].config[key]]));
  place.append(details);
}

function notesList(place, notes) {
  if (notes.length > 0) place.append(make("ul", { className: "notes" }, ...notes.map((n) => make("li", {}, n))));
}
