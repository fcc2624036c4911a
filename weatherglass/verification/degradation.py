"""Alert rules that detect when a model in service has become worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import Connection, func, select

from weatherglass.records import UNITS, VARIABLES
from weatherglass.store import alerts, verification_queries
from weatherglass.store.alerts import Alert, Severity
from weatherglass.store.schema import drift as drift_table
from weatherglass.store.schema import predictions
from weatherglass.store.verification_queries import Score
from weatherglass.verification.scores import SKILL_LEADS, skill

MIN_CASES = 100
"""Minimum number of verified forecast values for a rule to apply."""
MAX_ERROR_RATIO = 1.3
"""Largest tolerated ratio of the live error to the error of the backtest."""
INTERVAL_LEVEL = 0.9
COVERAGE_TOLERANCE = 0.10
RATE_RATIO = 3.0
RATE_DIFFERENCE = 0.02
"""An anomaly rate is unusual if it is `RATE_RATIO` times the usual rate or more and higher by `RATE_DIFFERENCE`, or
correspondingly lower."""
CLEAR_FRACTION = 0.5
"""Hysteresis: an open alert on the anomaly rate is resolved when both distances are below this fraction of the limits.
The other rules use whole days and need none."""
BASELINE_DAYS = 28
"""Days before the last 24 h that define the usual anomaly rate."""
MIN_READINGS = 200


def check_degradation(
    connection: Connection, now: datetime, version: str | None, backtest: Mapping[str, float]
) -> list[Alert]:
    """Check the champion on the last whole UTC day; raise and resolve the alerts of all rules. The caller commits.

    Args:
        version: of the champion; None resolves all alerts.
        backtest: metrics of its training, `mae.model.<variable>.lead<nn>`.

    Returns:
        The alerts that are open now.
    """
    yesterday = (now.astimezone(UTC) - timedelta(days=1)).date()
    by_lead = _scores_by_lead(connection, yesterday, version)
    by_variable = _by_variable(by_lead)
    found = {
        "skill_below_zero": skill_below_zero(by_variable),
        "error_above_backtest": error_above_backtest(by_lead, backtest),
        "coverage_off": coverage_off(by_variable),
        "anomaly_rate": anomaly_rate(connection, now),
        "input_drift": input_drift(connection, version),
    }
    for rule, rule_alerts in found.items():
        alerts.set_open_alerts(connection, rule, rule_alerts, now)
    return [alert for rule_alerts in found.values() for alert in rule_alerts]


def _scores_by_lead(connection: Connection, day: date, version: str | None) -> list[Score]:
    """Live scores of a version on one day, by variable and lead."""
    if version is None:
        return []
    scores = verification_queries.scores(connection, day, by_lead=True, by_day=True, version=version)
    return [score for score in scores if score.day == day and not score.hindcast]


def _by_variable(scores: Sequence[Score]) -> dict[str, list[Score]]:
    """Scores of the variables that have at least `MIN_CASES` over all leads."""
    grouped = {variable: [s for s in scores if s.variable == variable] for variable in VARIABLES}
    return {variable: group for variable, group in grouped.items() if sum(s.n for s in group) >= MIN_CASES}


def _weighted_mean(scores: Sequence[Score], name: str, weight: str) -> float | None:
    """Mean of an attribute over the scores that have it; None without any."""
    known = [(getattr(s, name), getattr(s, weight)) for s in scores if getattr(s, name) is not None]
    total = sum(count for _, count in known)
    return sum(value * count for value, count in known) / total if total else None


def skill_below_zero(scores: Mapping[str, Sequence[Score]]) -> list[Alert]:
    """Variables whose error on the day is larger than that of the damped anomaly.

    Args:
        scores: variable -> scores by lead.
    """
    found = []
    for variable, group in scores.items():
        mae, damped = (_weighted_mean(group, name, "n_baselines") for name in ("mae_compared", "mae_damped"))
        if mae is None or not damped or mae <= damped:
            continue
        damped_skill = skill(mae, damped)
        message = (
            f"MAE {mae:.2f} {UNITS[variable]} on {group[0].day}, damped anomaly {damped:.2f} {UNITS[variable]}, skill "
            f"{damped_skill:+.2f}. Roll back, or train a new model."
        )
        details = {"mae": mae, "mae_damped": damped, "skill": damped_skill}
        found.append(_alert("skill_below_zero", group, variable, Severity.CRITICAL, message, details))
    return found


def error_above_backtest(scores: Sequence[Score], backtest: Mapping[str, float]) -> list[Alert]:
    """Variables whose error exceeds `MAX_ERROR_RATIO` times the error of the backtest, over `SKILL_LEADS`.

    Args:
        scores: by variable and lead.
        backtest: `mae.model.<variable>.lead<nn>` -> MAE.
    """
    found = []
    for variable in VARIABLES:
        group = [s for s in scores if s.variable == variable and s.lead in SKILL_LEADS]
        known = [(s, backtest[name]) for s in group if (name := f"mae.model.{variable}.lead{s.lead:02d}") in backtest]
        count = sum(s.n for s, _ in known)
        if count < MIN_CASES:
            continue
        live = sum(s.mae * s.n for s, _ in known) / count
        tested = sum(error * s.n for s, error in known) / count
        if live <= MAX_ERROR_RATIO * tested:
            continue
        message = (
            f"MAE {live:.2f} {UNITS[variable]} on {group[0].day} at leads of {SKILL_LEADS[0]} to {SKILL_LEADS[-1]} h, "
            f"{live / tested:.1f} times the {tested:.2f} {UNITS[variable]} of its backtest. Limit: "
            f"{MAX_ERROR_RATIO:g} times."
        )
        details = {"mae": live, "backtest": tested, "ratio": live / tested}
        found.append(_alert("error_above_backtest", group, variable, Severity.WARNING, message, details))
    return found


def coverage_off(scores: Mapping[str, Sequence[Score]]) -> list[Alert]:
    """Variables whose 90 % interval contains clearly more or fewer than 90 % of the observations.

    Args:
        scores: variable -> scores by lead.
    """
    found = []
    for variable, group in scores.items():
        share = _weighted_mean(group, "coverage_90", "n")
        if share is None or abs(share - INTERVAL_LEVEL) <= COVERAGE_TOLERANCE:
            continue
        message = (
            f"{INTERVAL_LEVEL:.0%} interval contained {share:.0%} of the observations on {group[0].day}. Tolerance: "
            f"{COVERAGE_TOLERANCE * 100:.0f} percentage points."
        )
        found.append(_alert("coverage_off", group, variable, Severity.WARNING, message, {"coverage_90": share}))
    return found


def anomaly_rate(connection: Connection, now: datetime) -> list[Alert]:
    """The share of flagged readings of the last 24 h, if it differs clearly from the four weeks before."""
    day = timedelta(days=1)
    rates = []
    for start, end in ((now - day, now), (now - (BASELINE_DAYS + 1) * day, now - day)):
        query = select(func.count(), func.count().filter(predictions.c.is_anomaly)).where(
            predictions.c.timestamp >= start, predictions.c.timestamp < end
        )
        count, flagged = connection.execute(query).one()
        if count < MIN_READINGS:
            return []
        rates.append(flagged / count)
    rate, usual = rates
    fraction = CLEAR_FRACTION if alerts.open_alerts(connection, ["anomaly_rate"]) else 1.0
    ratio, difference = 1 + fraction * (RATE_RATIO - 1), fraction * RATE_DIFFERENCE
    if min(usual / ratio, usual - difference) <= rate <= max(ratio * usual, usual + difference):
        return []
    message = (
        f"{rate:.1%} of the readings of the last 24 h are flagged; in the {BASELINE_DAYS} days before it was "
        f"{usual:.1%}. Possible causes: failing sensors, or detector limits that no longer fit."
    )
    return [Alert("anomaly_rate", "anomaly flags", Severity.WARNING, message, {"rate": rate, "usual": usual})]


def input_drift(connection: Connection, version: str | None) -> list[Alert]:
    """Features whose PSI exceeds its limit on the last day with drift values."""
    newest = select(func.max(drift_table.c.day)).where(drift_table.c.version == version).scalar_subquery()
    query = select(drift_table).where(drift_table.c.version == version, drift_table.c.day == newest)
    found = []
    for row in connection.execute(query.order_by(drift_table.c.feature)):
        if row.psi <= row.psi_limit:
            continue
        message = (
            f"The distribution of {row.feature} differs from the training data of version {row.version}: PSI "
            f"{row.psi:.2f} (limit {row.psi_limit:.2f}), KS {row.ks:.2f}, {row.n} values up to {row.day}."
        )
        details = {"psi": row.psi, "psi_limit": row.psi_limit, "ks": row.ks, "n": row.n}
        subject = f"version {row.version}, {row.feature}"
        found.append(Alert("input_drift", subject, Severity.WARNING, message, details))
    return found


def _alert(
    rule: str, scores: Sequence[Score], variable: str, severity: Severity, message: str, details: dict[str, float]
) -> Alert:
    subject = f"version {scores[0].version}, {variable.replace('_', ' ')}"
    return Alert(rule, subject, severity, f"{subject[0].upper()}{subject[1:]}: {message}", details)
