// The card of the page Models that compares forecasts with raw guidance, per lead.
import { axis, layout, palette, plot } from "./charts.js";
import { byId, h, renderList, setText } from "./dom.js";
import { guidanceKind, guidanceLabel } from "./guidance_label.js";
import { MIN_VERIFIED } from "./score_tile.js";
import { formatDifference, VARIABLE_LABELS } from "./units.js";

const SIMULATED_SUFFIX = "-simulated-guidance"; // of the versions of forecasts that used simulated guidance
const EMPTY_TEXT =
  "Nothing to compare yet. It takes stored guidance, and observations that are not from Open-Meteo.";
const TOO_FEW_TEXT = `Not enough cases yet: the skill at a lead is shown from ${MIN_VERIFIED} cases on.`;

const isOfVersion = (version, champion) => version === champion || version === champion + SIMULATED_SUFFIX;

/** The skill of few forecasts would be mostly chance. */
const knownSkill = ({ n, skill_guidance: skill }) => (n < MIN_VERIFIED ? null : skill);

const percent = (skill) => (skill === null ? "–" : `${skill < 0 ? "−" : "+"}${Math.abs(skill * 100).toFixed(0)}\u00a0%`);

/**
 * Show the scores of a variable: those of the champion, else of all versions.
 * scores: `guidance` of /verification, grouped by lead.
 */
export function renderGuidanceSkill(scores, variable, champion, leadAxis, margin) {
  const ofVariable = scores.filter((score) => score.variable === variable);
  const ofChampion = ofVariable.filter((score) => isOfVersion(score.version, champion));
  const shown = ofChampion.length ? ofChampion : ofVariable;
  const onlySimulated = scores.length > 0 && scores.every((score) => score.simulated);
  setText(byId("guidance-title"), `Skill compared with ${guidanceKind(onlySimulated)}`);
  const cases = shown.reduce((sum, score) => sum + score.n, 0);
  setText(byId("guidance-note"), shown.length ? `${VARIABLE_LABELS[variable].toLowerCase()}, ${cases} cases` : "");
  renderChart(shown, variable, leadAxis, margin);
  renderTable(shown, variable);
}

const versionName = (version) =>
  version.endsWith(SIMULATED_SUFFIX)
    ? `version ${version.slice(0, -SIMULATED_SUFFIX.length)} with simulated guidance`
    : `version ${version}`;

const seriesKey = (score) => JSON.stringify([score.version, score.model, score.simulated]);

function renderChart(scores, variable, leadAxis, margin) {
  const { series1, series2, series3, series4, neutral } = palette();
  const colors = [series1, series2, series3, series4];
  const known = scores.filter((score) => knownSkill(score) !== null);
  const keys = [...new Set(known.map(seriesKey))];
  const severalModels = new Set(scores.map(guidanceLabel)).size > 1;
  const traces = keys.map((key, index) => {
    const series = known.filter((score) => seriesKey(score) === key);
    const [{ version }] = series;
    return {
      x: series.map((score) => score.lead),
      y: series.map((score) => 100 * score.skill_guidance),
      customdata: series.map((score) => score.n),
      mode: "lines+markers",
      marker: { size: 5 },
      name: versionName(version) + (severalModels ? `, compared with ${guidanceLabel(series[0])}` : ""),
      line: { color: colors[index % colors.length], width: 2.5 },
      hovertemplate: "%{y:.1f} % of %{customdata} cases",
    };
  });
  const asGood = { type: "line", x0: 0, x1: 1, xref: "paper", y0: 0, y1: 0, line: { color: neutral, width: 1.5 } };
  plot(
    byId("guidance-skill"),
    traces,
    layout({
      height: 300,
      xaxis: leadAxis,
      yaxis: axis({ ticksuffix: " %" }),
      shapes: [asGood],
      margin,
      showlegend: true,
    }),
    `skill compared with guidance, ${variable}`,
    scores.length ? TOO_FEW_TEXT : EMPTY_TEXT,
  );
}

function renderTable(scores, variable) {
  const body = byId("guidance-leads");
  if (!scores.length) {
    body.replaceChildren(h("tr", {}, h("td", { colspan: 7, class: "empty" }, EMPTY_TEXT)));
    return;
  }
  renderList(
    body,
    scores.map((score) => ({ score, ours: formatDifference(variable, score.mae_compared), theirs: formatDifference(variable, score.mae_guidance) })),
    ({ score }) => `${seriesKey(score)} ${score.lead}`,
    ({ score, ours, theirs }) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, `${score.lead} h`),
        h("td", {}, versionName(score.version)),
        h("td", {}, guidanceLabel(score)),
        ...[score.n, ours, theirs, percent(knownSkill(score))].map((text) => h("td", { class: "num" }, text)),
      ),
  );
}
