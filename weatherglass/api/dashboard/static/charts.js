// Plotly charts in the style of the pages.
import { h, saveFile, toCsv } from "./dom.js";

const cssVariable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const COLORS = {
  text: "--ink",
  mutedText: "--soft",
  line: "--line",
  background: "--card",
  bad: "--bad",
  warn: "--warn",
  ok: "--ok",
  neutral: "--quiet",
  series1: "--series-1",
  series2: "--series-2",
  series3: "--series-3",
  series4: "--series-4",
};

/** The colours of the current theme. */
export const palette = () =>
  Object.fromEntries(Object.entries(COLORS).map(([name, variable]) => [name, cssVariable(variable)]));

/** A hex colour with an opacity from 0 to 1. */
export const withAlpha = (hex, opacity) =>
  hex +
  Math.round(opacity * 255)
    .toString(16)
    .padStart(2, "0");

const MAX_LEGEND_HEIGHT = 1000;
const LEGEND_GAP = 12;

export function axis(options = {}) {
  const { line, mutedText } = palette();
  return {
    gridcolor: line,
    linecolor: line,
    zerolinecolor: line,
    tickfont: { color: mutedText, size: 12 },
    automargin: true,
    ...options,
  };
}

export function layout(options = {}) {
  const { text, mutedText, background, line } = palette();
  return {
    paper_bgcolor: background,
    plot_bgcolor: background,
    margin: { l: 52, r: 18, t: 8, b: 34 },
    hovermode: "x unified",
    font: { family: cssVariable("--sans"), size: 13, color: text },
    hoverlabel: { bgcolor: background, bordercolor: line, font: { color: text } },
    legend: {
      orientation: "h",
      x: 0,
      y: 1.01,
      yanchor: "bottom",
      font: { color: mutedText },
      maxheight: MAX_LEGEND_HEIGHT,
    },
    uirevision: "same", // keeps the user's zoom when the data is updated
    xaxis: axis(),
    yaxis: axis(),
    ...options,
  };
}

/** A time axis with about one tick per 110 pixels of the box. */
export function timeAxis(box, options = {}) {
  return axis({
    type: "date",
    nticks: Math.max(4, Math.round(box.clientWidth / 110)),
    hoverformat: "%a %-d %b, %H:%M",
    tickformatstops: [
      { dtickrange: [null, 86399999], value: "%H:%M\n%a %-d %b" },
      { dtickrange: [86400000, null], value: "%a\n%-d %b" },
    ],
    ...options,
  });
}

const PLOT_CONFIG = {
  displaylogo: false,
  responsive: true,
  modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
  toImageButtonOptions: { format: "png", scale: 2 },
};

/**
 * Draw a chart or update it in place. Without data, show emptyText, which says when there will be some.
 * The height of the layout is that with one row of the legend; further rows make the chart higher.
 * fileName: for the image export.
 */
export async function plot(box, traces, chartLayout, fileName, emptyText) {
  if (!traces.some((trace) => trace.x?.length)) {
    if (box.hasPlot) Plotly.purge(box);
    box.hasPlot = false;
    box.replaceChildren(h("p", { class: "empty" }, emptyText));
    return;
  }
  const content = JSON.stringify([traces, chartLayout]);
  if (box.hasPlot && box.content === content) return;
  if (!box.hasPlot) box.replaceChildren();
  const { height, margin } = chartLayout;
  await Plotly.react(box, traces, chartLayout, {
    ...PLOT_CONFIG,
    toImageButtonOptions: { ...PLOT_CONFIG.toImageButtonOptions, filename: fileName },
  });
  const fit = () => fitLegend(box, height - margin.t, margin.t);
  if (box.hasPlot) box.removeAllListeners("plotly_afterplot");
  box.on("plotly_afterplot", fit); // also after a resize, which may change the rows of the legend
  box.hasPlot = true;
  box.content = content;
  fit();
}

/** Plotly takes the space for the legend above a plot from the plot, so add it to the height. */
function fitLegend(box, heightBelow, topMargin) {
  const legend = box.querySelector(".infolayer g.legend .bg");
  const legendHeight = legend ? legend.getBBox().height + LEGEND_GAP : 0;
  const height = Math.round(heightBelow + Math.max(topMargin, legendHeight));
  if (Math.abs(box.layout.height - height) > 1) Plotly.relayout(box, { height });
}

export const savePng = (box, fileName) =>
  Plotly.downloadImage(box, {
    format: "png",
    scale: 2,
    filename: fileName,
    width: box.clientWidth,
    height: box.clientHeight,
  });

/** Save these columns of the rows (objects) as a CSV file. */
export function saveCsv(fileName, columns, rows) {
  const text = toCsv(
    columns,
    rows.map((row) => columns.map((column) => row[column])),
  );
  saveFile(`${fileName}.csv`, new Blob([text], { type: "text/csv" }));
}
