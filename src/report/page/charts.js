// SPDX-License-Identifier: MIT
// Pictures of the report. Each function takes a place in the page and numbers, and draws with Plotly.
"use strict";

// Okabe and Ito's palette (Color Universal Design, 2008): told apart by people who see colours differently.
const palette = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#B8A000"];
const moduleOrder = ["lotformer", "softmax", "performer", "sinkformer", "espformer", "linear", "mean", "none"];

// A module has its colour in every picture; further variants of it take colours that no module here has.
function colourOf(row, rows) {
  const base = (name) => moduleOrder.findIndex((m) => name === m || name.startsWith(m + "-"));
  const taken = new Map();
  rows.forEach((r, i) => { if (base(r.module) >= 0 && ![...taken.values()].includes(base(r.module))) taken.set(i, base(r.module)); });
  const free = palette.map((_, i) => i).filter((i) => ![...taken.values()].includes(i));
  const others = rows.map((_, i) => i).filter((i) => !taken.has(i));
  const index = taken.has(row) ? taken.get(row) : (free.length ? free : palette.map((_, i) => i))[others.indexOf(row) % (free.length || palette.length)];
  return palette[index];
}

function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

const plotHeight = 300, belowPlot = 64, legendLine = 21;

// The legend stands below the picture and makes it longer: names of variants are long.
function layoutOf(extra, names) {
  const shown = names > 1;
  const axis = { gridcolor: css("--line"), zerolinecolor: css("--line"), linecolor: css("--line"), automargin: true };
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: css("--ink"), size: 13 },
    margin: { l: 56, r: 16, t: 16, b: belowPlot + (shown ? names * legendLine : 0) }, height: plotHeight + belowPlot + 16 + (shown ? names * legendLine : 0),
    legend: { orientation: "v", x: 0, yanchor: "top", y: -belowPlot / plotHeight }, showlegend: shown,
    modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--quiet"), activecolor: css("--accent") },
    hoverlabel: { bgcolor: css("--panel"), bordercolor: css("--line"), font: { color: css("--ink") } },
    ...extra, xaxis: { ...axis, ...(extra.xaxis || {}) }, yaxis: { ...axis, ...(extra.yaxis || {}) },
  };
}

const drawn = [];   // what was drawn where, to draw it again when the reader changes to dark colours

function draw(place, traces, extra, name) {
  const again = () => Plotly.react(place, traces(), layoutOf(extra(), traces().filter((t) => t.name && t.showlegend !== false).length), {
    responsive: true, displaylogo: false, toImageButtonOptions: { format: "svg", filename: name },
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "sendChartToCloud"],   // the last would upload the data
  });
  const known = drawn.find((d) => d.place === place);
  if (known) known.again = again; else drawn.push({ place, again });
  again();
}

function transparent(hex, alpha) {
  const n = parseInt(hex.slice(1), 16);
  return `rgba(${n >> 16},${(n >> 8) & 255},${n & 255},${alpha})`;
}

// Value of a curve at x, between its points; null outside of them.
function valueAt({ x, y }, at) {
  let i = x.findIndex((v) => v >= at);
  if (i < 0 || (i === 0 && x[0] !== at)) return null;
  if (x[i] === at) return y[i];
  return y[i - 1] + (y[i] - y[i - 1]) * (at - x[i - 1]) / (x[i] - x[i - 1]);
}

// Mean and spread over runs, at the points of the longest curve (of those, the one with the fewest points) where at least half of the
// runs reach. Seeds may have been logged at other steps, so that values between points count.
function band(all) {
  const curves = all.map(({ x, y }) => {
    const kept = x.map((_, i) => i).filter((i) => y[i] !== null && y[i] !== undefined);
    return { x: kept.map((i) => x[i]), y: kept.map((i) => y[i]) };
  }).filter((c) => c.x.length > 0);
  if (curves.length === 0) return { x: [], mean: [], low: [], high: [] };
  const last = Math.max(...curves.map((c) => c.x[c.x.length - 1]));
  const longest = curves.filter((c) => c.x[c.x.length - 1] === last).sort((a, b) => a.x.length - b.x.length)[0];
  const points = longest.x.map((x) => [x, curves.map((c) => valueAt(c, x)).filter((v) => v !== null)]).filter(([, v]) => v.length * 2 >= curves.length);
  return { x: points.map(([x]) => x), mean: points.map(([, v]) => v.reduce((a, b) => a + b, 0) / v.length),
    low: points.map(([, v]) => Math.min(...v)), high: points.map(([, v]) => Math.max(...v)) };
}

// groups: [{name, colour, curves: [{x, y}], dash}]. A band goes from the smallest to the largest of the seeds.
function drawCurves(place, groups, axes, name) {
  const traces = () => groups.flatMap((g) => {
    const b = band(g.curves);
    const line = { x: b.x, y: b.mean, name: g.name, legendgroup: g.name, mode: b.x.length > 40 ? "lines" : "lines+markers",
      line: { color: g.colour, width: 2, dash: g.dash || "solid" }, marker: { size: 5 }, type: "scatter",
      hovertemplate: `%{y:.4g} at %{x:.6g}<extra>${escapeHtml(g.name)}</extra>` };
    if (g.curves.length < 2) return [line];
    const edge = { mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false, legendgroup: g.name, type: "scatter" };
    return [{ ...edge, x: b.x, y: b.low }, { ...edge, x: b.x, y: b.high, fill: "tonexty", fillcolor: transparent(g.colour, 0.18) }, line];
  });
  draw(place, traces, () => ({ xaxis: { title: { text: axes.x }, type: axes.xlog ? "log" : "linear" },
    yaxis: { title: { text: axes.y }, type: axes.ylog ? "log" : "linear" }, hovermode: "closest" }), name);
}

function drawBubbles(place, points, axes, name) {
  const most = Math.max(...points.map((p) => p.size), 1);
  const traces = () => points.map((p) => ({ x: [p.x], y: [p.y], name: p.name, type: "scatter", mode: "markers",
    error_y: { type: "data", array: [p.spread], visible: p.spread > 0, color: p.colour },
    marker: { color: transparent(p.colour, 0.65), size: 12 + 34 * Math.sqrt(p.size / most), line: { color: p.colour, width: 1.5 } },
    hovertemplate: `${escapeHtml(p.name)}<br>%{y:.2f} %, %{x:.3g} steps/s<br>${escapeHtml(p.detail)}<extra></extra>` }));
  draw(place, traces, () => ({ xaxis: { title: { text: axes.x }, type: "log" }, yaxis: { title: { text: axes.y } }, hovermode: "closest" }), name);
}

function drawHeat(place, z, options, name) {
  const traces = () => [{ z, x: options.xs, y: options.ys, type: "heatmap", colorscale: options.scale || [[0, css("--panel")], [1, css("--accent")]], zmin: options.zmin,
    showscale: options.bar !== false, text: options.text, texttemplate: options.texttemplate, hovertemplate: options.hover + "<extra></extra>",
    xgap: options.gap || 0, ygap: options.gap || 0 }];
  draw(place, traces, () => ({ title: options.title ? { text: options.title, font: { size: 13 }, x: 0, xanchor: "left" } : undefined,
    margin: { l: 60, r: 10, t: options.title ? 36 : 12, b: 52 }, height: options.height || 380,
    xaxis: { title: { text: options.x }, constrain: "domain", ...(options.xaxis || {}) },
    yaxis: { title: { text: options.y }, autorange: "reversed", constrain: "domain", ...(options.square ? { scaleanchor: "x" } : {}), ...(options.yaxis || {}) } }), name);
}

function drawBars(place, groups, axes, name) {
  const traces = () => groups.map((g) => ({ x: g.x, y: g.y, name: g.name, type: "bar", marker: { color: g.colour }, customdata: g.detail,
    hovertemplate: `%{x}: %{y:.4g} (%{customdata})<extra>${escapeHtml(g.name)}</extra>` }));
  draw(place, traces, () => ({ barmode: "group", xaxis: { title: { text: axes.x }, type: "category" }, yaxis: { title: { text: axes.y } } }), name);
}

function drawAgain() {
  drawn.filter((d) => d.place.isConnected).forEach((d) => d.again());
}
