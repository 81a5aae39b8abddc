// SPDX-License-Identifier: MIT
// Puts the report together from the data in the page.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const rows = data.table.rows, columns = data.table.columns;
data.runs.forEach((run) => { run.name = `${run.row === null ? run.module || "?" : rows[run.row].label}, ${run.task || "?"}, seed ${run.seed}`; });
const hasPictures = typeof Plotly !== "undefined";
const columnChoices = columns.map((c, i) => [i, c.title]);

function runsOf(column, row) {
  return data.runs.filter((r) => r.column === Number(column) && (row === undefined || r.row === row));
}

function results() {
  const place = section("results", "Results", "Test accuracy in percent at the checkpoint of the best validation accuracy: mean ± sample standard deviation (number of seeds). Bold: the largest of a column, whatever the spread.");
  if (rows.length === 0) { place.append(make("p", { className: "warn" }, "No run here has a task and a module.")); return; }
  accuracyTable(place, data, "best");
  const last = make("details", {}, make("summary", {}, "At the last step instead"));
  accuracyTable(last, data, "last");
  place.append(last, make("h3", {}, "Cost"), make("p", { className: "quiet" }, "On the machines that the runs were made on; comparable where these are the same."));
  costTable(place, data);
  notesList(place, data.table.notes);
  if (data.published.length > 0) {
    const other = make("details", {}, make("summary", {}, "Published accuracies, not measured here"));
    publishedTables(other, data.published);
    place.append(other);
  }
}

function speed() {
  const usable = columns.map((_, c) => c).filter((c) => rows.some((r) => r.cells.some((x) => x.column === c && x.best && x.steps_per_second)));
  if (usable.length === 0) return;
  const place = section("speed", "Accuracy against speed", "The size of a bubble is the peak memory. Up and to the right is better.");
  const controls = make("div", { className: "controls" });
  place.append(controls);
  const chart = chartIn(place);
  const show = (column) => {
    const points = rows.flatMap((row, i) => row.cells.filter((x) => x.column === Number(column) && x.best && x.steps_per_second).map((x) => ({
      x: x.steps_per_second.mean, y: 100 * x.best.mean, spread: 100 * x.best.std, size: x.peak_memory_bytes?.mean || 1,
      name: row.label, colour: colourOf(i, rows), detail: x.peak_memory_bytes ? bytes(x.peak_memory_bytes.mean) : "" })));
    drawBubbles(chart, points, { x: "training steps a second", y: "test accuracy in %" }, "accuracy-speed");
  };
  chooser(controls, "task", columnChoices.filter(([c]) => usable.includes(c)), show);
  show(usable[0]);
}

const quantities = [
  ["val.accuracy", "validation accuracy", (r) => [r.validation.step, r.validation.accuracy.map((a) => 100 * a)], "%"],
  ["val.loss", "validation loss", (r) => [r.validation.step, r.validation.loss], "nats"],
  ["train.accuracy", "training accuracy", (r) => [r.training.step, r.training.accuracy.map((a) => 100 * a)], "%"],
  ["train.loss", "training loss", (r) => [r.training.step, r.training.loss], "nats"],
  ["train.grad_norm", "gradient norm before clipping", (r) => [r.training.step, r.training.grad_norm], "L2"],
  ["train.lr", "learning rate", (r) => [r.training.step, r.training.lr], ""],
];

// Minutes of training at a step, between the times that were logged.
function minutesAt(run) {
  const { step, seconds } = run.time;
  return (s) => {
    if (step.length === 0) return null;
    let i = step.findIndex((x) => x >= s);
    if (i < 0) i = step.length - 1;
    const s0 = i > 0 ? step[i - 1] : 0, t0 = i > 0 ? seconds[i - 1] : 0;
    return (t0 + (seconds[i] - t0) * Math.min(1, (s - s0) / Math.max(step[i] - s0, 1))) / 60;
  };
}

// Repetitions have other times at the same step: each step of a group stands at the mean of its times.
function byTime(runs, curves) {
  const clocks = runs.map(minutesAt);
  const sums = new Map();
  curves.forEach(({ x }, i) => x.forEach((s) => {
    const t = clocks[i](s);
    if (t !== null) sums.set(s, [...(sums.get(s) || []), t]);
  }));
  const mean = (s) => sums.has(s) ? sums.get(s).reduce((a, b) => a + b, 0) / sums.get(s).length : null;
  return curves.map(({ x, y }) => {
    const kept = x.map((s, i) => [mean(s), y[i]]).filter(([t]) => t !== null);
    return { x: kept.map(([t]) => t), y: kept.map(([, v]) => v) };
  });
}

function curves() {
  if (!data.runs.some((r) => r.column !== null && (r.training.step.length || r.validation.step.length))) return;
  const place = section("curves", "Learning curves", "Line: mean of the seeds; band: from the smallest to the largest. Drag to zoom, double click to go back.");
  const controls = make("div", { className: "controls" });
  place.append(controls);
  const chart = chartIn(place);
  const chosen = { column: 0, quantity: "val.accuracy", x: "step", scale: "linear" };
  const show = () => {
    const [, title, get, unit] = quantities.find(([name]) => name === chosen.quantity);
    const groups = rows.flatMap((row, i) => {
      const runs = runsOf(chosen.column, i).filter((r) => get(r)[0].length > 0);
      if (runs.length === 0) return [];
      let lines = runs.map((r) => ({ x: get(r)[0], y: get(r)[1] }));
      if (chosen.x === "time") lines = byTime(runs, lines);
      return [{ name: row.label, colour: colourOf(i, rows), curves: lines, dash: row.control ? "dot" : "solid" }];
    });
    drawCurves(chart, groups, { x: chosen.x === "time" ? "minutes of training" : "step", y: unit ? `${title} in ${unit}` : title,
      xlog: chosen.scale.includes("x"), ylog: chosen.scale.includes("y") }, "learning-curves");
  };
  const set = (key) => (value) => { chosen[key] = value; show(); };
  chooser(controls, "task", columnChoices, set("column"));
  chooser(controls, "show", quantities.map(([name, title]) => [name, title]), set("quantity"));
  chooser(controls, "by", [["step", "step"], ["time", "training time"]], set("x"));
  chooser(controls, "axes", [["linear", "linear"], ["x", "x logarithmic"], ["y", "y logarithmic"], ["xy", "both logarithmic"]], set("scale"));
  show();
}

function errors() {
  const with_them = data.runs.filter((r) => r.predictions && r.row !== null);
  if (with_them.length === 0) return;
  const place = section("errors", "Where it is right", "From the predictions on the test split (lotformer-eval RUN --for-report). Groups of about equal size.");
  const controls = make("div", { className: "controls" });
  place.append(controls);
  const attributes = [...new Set(with_them.flatMap((r) => r.predictions.by.map((b) => `${r.column}|${b.name}`)))];
  if (attributes.length > 0) {
    const chart = chartIn(place);
    const show = (choice) => {
      const [column, name] = choice.split("|");
      const groups = with_them.filter((r) => r.column === Number(column)).map((r) => {
        const bins = r.predictions.by.find((b) => b.name === name)?.bins || [];
        return { name: r.name, colour: colourOf(r.row, rows), x: bins.map((b) => b.least === b.most ? `${b.least}` : `${b.least}–${b.most}`),
          y: bins.map((b) => 100 * b.accuracy), detail: bins.map((b) => `${b.examples} examples`) };
      });
      drawBars(chart, groups, { x: name, y: "test accuracy in %" }, `accuracy-by-${name}`);
    };
    chooser(controls, "by", attributes.map((a) => [a, `${columns[a.split("|")[0]].title}: ${a.split("|")[1]}`]), show);
    show(attributes[0]);
  }
  const second = make("div", { className: "controls" });
  place.append(make("h3", {}, "Confusion matrix"), second);
  const chart = chartIn(place);
  const show = (index) => {
    const p = with_them[index].predictions;
    const names = p.confusion.map((_, i) => p.classes[i] ?? `${i}`);
    const share = p.confusion.map((line) => { const sum = line.reduce((a, b) => a + b, 0); return line.map((n) => sum ? n / sum : 0); });
    drawHeat(chart, share, { xs: names, ys: names, x: "predicted", y: "true", zmin: 0, text: p.confusion, texttemplate: names.length <= 12 ? "%{text}" : "",
      hover: "true %{y}, predicted %{x}: %{text} (%{z:.1%} of the class)", xaxis: { type: "category" }, yaxis: { type: "category" }, gap: 1 }, "confusion");
  };
  chooser(second, "run", with_them.map((r, i) => [i, r.name]), show);
  show(0);
}

function tokensOf(sequence) {
  return (sequence.tokens || sequence.ids).map((t, i) => `${i}: ${t}`);
}

function transport() {
  const with_them = data.runs.filter((r) => Array.isArray(r.plans) && r.plans.length > 0);
  if (with_them.length === 0) return;
  const place = section("transport", "Transport plans", "Of one real example: how much of each token (column) goes through each pivot (row), in units of a token's mass, from queries to pivots and from pivots to keys.");
  const controls = make("div", { className: "controls" });
  const about = make("p", { className: "quiet" });
  place.append(controls, about);
  const grid = make("div", { className: "grid" });
  place.append(grid);
  const [query, key, masses, pictures] = [0, 1, 2, 3].map(() => chartIn(grid));
  const chosen = { run: 0, plan: 0 };
  const show = () => {
    const example = with_them[chosen.run].plans[0], sequence = example.sequences[0], plan = sequence.plans[chosen.plan];
    const names = tokensOf(sequence), n = names.length;
    about.textContent = `Row ${example.row} of the test split, ${n} tokens; true class ${example.class}, predicted ${example.prediction}${example.prediction === example.label ? "" : " (wrong)"}.`;
    const scaled = (matrix) => matrix.map((line) => line.map((x) => x * n));
    const ticks = n <= 64 && sequence.tokens ? { tickvals: names.map((_, i) => i), ticktext: sequence.tokens, tickangle: 0, tickfont: { size: n <= 32 ? 12 : 9 } } : {};
    const options = (title) => ({ title, xs: names.map((_, i) => i), text: matrixOf(plan.query.length, names), x: "token", y: "pivot", zmin: 0, hover: "pivot %{y}, token %{text}: %{z:.3f}", xaxis: ticks, height: 340 });
    drawHeat(query, scaled(plan.query), options("queries to pivots"), "plan-queries");
    drawHeat(key, scaled(plan.key), options("pivots to keys"), "plan-keys");
    const mass = plan.query.map((line) => line.reduce((a, b) => a + b, 0));
    drawBars(masses, [{ name: "mass", colour: palette[0], x: mass.map((_, j) => j), y: mass, detail: mass.map((m) => `${(m * mass.length).toFixed(2)} of an equal share`) }], { x: "pivot", y: "mass of a pivot" }, "pivot-masses");
    pictures.hidden = !(sequence.width > 1);
    if (!pictures.hidden) drawHeat(pictures, pictureOf(plan.key, sequence.width, n), { title: "pixels by the pivot that most of their mass goes through", x: "", y: "", square: true, hover: "pivot %{z}", scale: "Portland" }, "pivot-picture");
  };
  const matrixOf = (height, line) => Array.from({ length: height }, () => line);
  const pictureOf = (plan, width, n) => Array.from({ length: Math.ceil(n / width) }, (_, y) => Array.from({ length: width }, (_, x) => {
    const i = y * width + x;
    return i < n ? plan.reduce((best, line, j) => line[i] > plan[best][i] ? j : best, 0) : null;
  }));
  // Runs have other layers and heads: the choices are those of the run that is shown.
  const choose = make("span");
  const plansOf = () => {
    choose.replaceChildren();
    chosen.plan = 0;
    chooser(choose, "layer and head", with_them[chosen.run].plans[0].sequences[0].plans.map((p, i) => [i, `layer ${p.layer}, head ${p.head}`]), (v) => { chosen.plan = Number(v); show(); });
  };
  chooser(controls, "run", with_them.map((r, i) => [i, r.name]), (v) => { chosen.run = Number(v); plansOf(); show(); });
  controls.append(choose);
  plansOf();
  show();
}

function inside() {
  const keys = [...new Set(data.runs.filter((r) => r.column !== null).flatMap((r) => r.series.map((s) => `${r.column}|${s.source}|${s.key}`)))];
  if (keys.length === 0) return;
  const place = section("inside", "Inside the attention", "Numbers of the solver and of the attention maps over training, layer by layer (docs/diagnostics.md says what each is).");
  const controls = make("div", { className: "controls" });
  place.append(controls);
  const chart = chartIn(place);
  const show = (choice) => {
    const [column, source, key] = choice.split("|");
    const dashes = ["solid", "dash", "dot", "dashdot", "longdash"];
    const groups = rows.flatMap((row, i) => {
      const layers = new Map();
      for (const run of runsOf(column, i)) {
        for (const s of run.series) {
          if (s.source === source && s.key === key) layers.set(s.layer, [...(layers.get(s.layer) || []), { x: s.step, y: s.value }]);
        }
      }
      return [...layers].map(([layer, lines], l) => ({ name: `${row.label}, ${layer}`, colour: colourOf(i, rows), curves: lines, dash: dashes[l % dashes.length] }));
    });
    drawCurves(chart, groups, { x: "step", y: key }, `${source}-${key}`);
  };
  const first = keys.find((k) => k.endsWith("|effective_rank")) || keys.find((k) => k.endsWith("|passes_mean")) || keys[0];
  const select = chooser(controls, "show", keys.map((k) => { const [c, source, key] = k.split("|"); return [k, `${columns[c].title}: ${key} (${source})`]; }), show);
  select.value = first;
  show(first);
}

function configurations() {
  const known = data.runs.filter((r) => Object.keys(r.config).length > 0);
  if (known.length === 0) return;
  const place = section("configurations", "Configurations", "Bookkeeping keys say how a run is carried out and change no result.");
  const controls = make("div", { className: "controls" });
  const body = make("div");
  place.append(controls, body);
  const show = (column) => {
    body.replaceChildren();
    configTable(body, known.filter((r) => String(r.column) === column), data.bookkeeping);
  };
  const used = [...new Set(known.map((r) => String(r.column)))];
  chooser(controls, "task", used.map((c) => [c, c === "null" ? "without a task" : columns[c].title]), show);
  show(used[0]);
}

function runList() {
  const place = section("runs", "Runs");
  table(place, ["run", "state", "test accuracy", "best step", "training", "device", "build", "notes"], data.runs.map((r) => [
    make("td", {}, make("code", {}, r.folder)), make("td", { className: r.state === "finished" ? "" : "warn" }, r.state), r.test ? `${percent(r.test.accuracy)} % of ${r.test.examples}` : "–",
    r.test ? String(r.test.step) : "–", r.train_seconds ? `${(r.train_seconds / 60).toFixed(1)} min` : "–", r.device ? `${r.device}, ${r.precision}, ${r.threads} threads` : "–", r.build || "–",
    make("td", { className: "text" }, r.notes.join("; "))]));
}

function start() {
  const finished = data.runs.filter((r) => r.state === "finished").length;
  document.getElementById("summary").textContent = `${data.runs.length} runs, ${finished} of them finished; ${columns.length} task columns, ${rows.length} modules. Written by lotformer-report ${data.build}.`;
  // What one part cannot show must not take the others with it.
  const attempt = (part) => {
    try {
      part();
    } catch (error) {
      document.getElementById("sections").append(make("p", { className: "warn failed" }, `${part.name}: cannot be shown (${error.message})`));
    }
  };
  attempt(results);
  if (hasPictures) {
    [speed, curves, errors, transport, inside].forEach(attempt);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAgain);
  } else {
    document.getElementById("sections").append(make("p", { className: "warn" }, "This lotformer-report was built without Plotly, so the page has tables only (scripts/deps.sh fetches it)."));
  }
  attempt(configurations);
  attempt(runList);
  document.getElementById("foot").textContent = "One file, nothing loaded from elsewhere. Pictures: Plotly.js (MIT licence); the camera above a picture saves it as SVG.";
}

start();
