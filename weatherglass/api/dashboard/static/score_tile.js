import { formatDifference } from "./units.js";

/** With fewer verified forecasts, the error and a comparison would be mostly chance. */
export const MIN_VERIFIED = 50;

/** Figure, suffix, note and class of a tile with the score of one variable. */
export function scoreTile(variable, score, showCrps = false) {
  if (score.n < MIN_VERIFIED)
    return { figure: "–", note: `Not enough verified forecasts yet (${score.n} of ${MIN_VERIFIED})` };
  const skill = score.n_baselines < MIN_VERIFIED ? null : score.skill_damped;
  const notes = [`${score.n} forecasts`];
  if (skill !== null)
    notes.push(`${percent(Math.abs(skill))} ${skill >= 0 ? "better" : "worse"} than damped anomaly`);
  if (showCrps && score.crps !== null) notes.push(`CRPS ${formatDifference(variable, score.crps)}`);
  if (score.coverage_90 !== null) notes.push(`90\u00a0% interval coverage: ${percent(score.coverage_90)}`);
  return {
    figure: formatDifference(variable, score.mae),
    suffix: " mean error",
    note: notes.join("; "),
    className: skill !== null && skill < 0 ? "worse" : "",
  };
}

const percent = (fraction) => `${(fraction * 100).toFixed(0)}\u00a0%`;
