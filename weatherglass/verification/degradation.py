"""The rules that find a model in service worse than it was: each gives the alerts that hold now."""

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

MIN_CASES = 100
"""Pairs behind a score before a rule looks at it."""
SKILL_LEADS = tuple(range(6, 25, 3))
"""Leads of the backtest's error, as `models.evaluation` sums them up."""
WORSE = 1.3
"""Times the backtest's error."""
COVERAGE_OFF = 0.10
LEVEL = 0.9
RATE_TIMES = 3.0
RATE_MORE = 0.02
"""An anomaly rate is far from usual at both this many times the usual and this much above it, or at a third of it."""
EASED = 0.5
"""Once told, it is over when this much of both distances is left: the last 24 h move on with every look, and an alert
should not come and go with them. The other rules look at whole days."""
USUAL_DAYS = 28
MIN_READINGS = 200


def watch(connection: Connection, now: datetime, version: str | None, backtest: Mapping[str, float]) -> list[Alert]:
    """Look at the champion's last whole UTC day, raise what is wrong and close what is over. The caller commits.

    Args:
        version: of the champion; without one there is nothing to find, and all is closed.
        backtest: the metrics of its training, `mae.model.<variable>.lead<nn>`.

    Returns:
        What is wrong now.
    """
    yesterday = (now.astimezone(UTC) - timedelta(days=1)).date()
    day = _scores(connection, yesterday, version, by_lead=True)
    found = {
        "skill_below_zero": skill_below_zero(_over_leads(day)),
        "error_above_backtest": error_above_backtest(day, backtest),
        "coverage_off": coverage_off(_over_leads(day)),
        "anomaly_rate": anomaly_rate(connection, now),
        "input_drift": input_drift(connection, version),
    }
    for rule, wrong in found.items():
        alerts.settle(connection, rule, wrong, now)
    return [alert for wrong in found.values() for alert in wrong]


def _scores(connection: Connection, day: date, version: str | None, by_lead: bool) -> list[Score]:
    if version is None:
        return []
    found = verification_queries.scores(connection, day, by_lead=by_lead, by_day=True, version=version)
    return [score for score in found if score.day == day and not score.hindcast]


def _over_leads(scores: Sequence[Score]) -> dict[str, list[Score]]:
    """By variable, of those with enough cases over all leads."""
    found = {variable: [s for s in scores if s.variable == variable] for variable in VARIABLES}
    return {variable: some for variable, some in found.items() if sum(s.n for s in some) >= MIN_CASES}


def _mean(scores: Sequence[Score], name: str, weight: str) -> float | None:
    known = [(getattr(s, name), getattr(s, weight)) for s in scores if getattr(s, name) is not None]
    total = sum(count for _, count in known)
    return sum(value * count for value, count in known) / total if total else None


def skill_below_zero(scores: Mapping[str, Sequence[Score]]) -> list[Alert]:
    """Worse than the damped anomaly over a day."""
    found = []
    for variable, some in scores.items():
        own, damped = (_mean(some, name, "n_baselines") for name in ("mae_compared", "mae_damped"))
        if own is None or not damped or own <= damped:
            continue
        words = (
            f"{_subject(some, variable)} erred by {own:.2f} {UNITS[variable]} on {some[0].day}, the damped anomaly by "
            f"{damped:.2f} {UNITS[variable]}: a skill of {1 - own / damped:+.2f} over a day. Roll back, or train anew."
        )
        figures = {"mae": own, "mae_damped": damped, "skill": 1 - own / damped}
        found.append(_alert("skill_below_zero", some, variable, Severity.CRITICAL, words, figures))
    return found


def error_above_backtest(scores: Sequence[Score], backtest: Mapping[str, float]) -> list[Alert]:
    """Over `WORSE` times the error of the backtest, over the leads that the backtest sums up."""
    found = []
    for variable in VARIABLES:
        some = [s for s in scores if s.variable == variable and s.lead in SKILL_LEADS]
        known = [(s, backtest[name]) for s in some if (name := f"mae.model.{variable}.lead{s.lead:02d}") in backtest]
        count = sum(s.n for s, _ in known)
        if count < MIN_CASES:
            continue
        live = sum(s.mae * s.n for s, _ in known) / count
        tested = sum(error * s.n for s, error in known) / count
        if live <= WORSE * tested:
            continue
        words = (
            f"{_subject(some, variable)} erred by {live:.2f} {UNITS[variable]} on {some[0].day}, 6 to 24 h ahead, "
            f"{live / tested:.1f} times the {tested:.2f} {UNITS[variable]} of its backtest; {WORSE:g} times is put up "
            "with."
        )
        figures = {"mae": live, "backtest": tested, "ratio": live / tested}
        found.append(_alert("error_above_backtest", some, variable, Severity.WARNING, words, figures))
    return found


def coverage_off(scores: Mapping[str, Sequence[Score]]) -> list[Alert]:
    """The 90 % interval holds far more or fewer truths than it says."""
    found = []
    for variable, some in scores.items():
        share = _mean(some, "coverage_90", "n")
        if share is None or abs(share - LEVEL) <= COVERAGE_OFF:
            continue
        words = (
            f"The {LEVEL:.0%} interval of {_subject(some, variable)} held {share:.0%} of the truths on {some[0].day}; "
            f"{COVERAGE_OFF * 100:.0f} points off are put up with."
        )
        found.append(_alert("coverage_off", some, variable, Severity.WARNING, words, {"coverage_90": share}))
    return found


def anomaly_rate(connection: Connection, now: datetime) -> list[Alert]:
    """The share of flagged readings of the last day, far from that of the four weeks before."""
    day = timedelta(days=1)
    rates = []
    for start, end in ((now - day, now), (now - (USUAL_DAYS + 1) * day, now - day)):
        query = select(func.count(), func.count().filter(predictions.c.is_anomaly)).where(
            predictions.c.timestamp >= start, predictions.c.timestamp < end
        )
        count, flagged = connection.execute(query).one()
        if count < MIN_READINGS:
            return []
        rates.append(flagged / count)
    today, usual = rates
    ease = EASED if alerts.open_of(connection, ["anomaly_rate"]) else 1.0
    times, more = 1 + ease * (RATE_TIMES - 1), ease * RATE_MORE
    if not (today > max(times * usual, usual + more) or today < min(usual / times, usual - more)):
        return []
    words = (
        f"{today:.1%} of the readings of the last 24 h are flagged, usually {usual:.1%}: sensors that fail, or a "
        "detector whose limits no longer fit."
    )
    figures = {"rate": today, "usual": usual}
    return [Alert("anomaly_rate", "anomaly flags", Severity.WARNING, words, figures)]


def input_drift(connection: Connection, version: str | None) -> list[Alert]:
    """Features whose newest comparison is beyond their limit."""
    newest = select(func.max(drift_table.c.day)).where(drift_table.c.version == version).scalar_subquery()
    query = select(drift_table).where(drift_table.c.version == version, drift_table.c.day == newest)
    found = []
    for row in connection.execute(query.order_by(drift_table.c.feature)):
        if row.psi <= row.psi_limit:
            continue
        words = (
            f"{row.feature} does not look like what version {row.version} was trained on: PSI {row.psi:.2f}, KS "
            f"{row.ks:.2f} over {row.n} values up to {row.day}; with this much weather a PSI of {row.psi_limit:.2f} is "
            "put up with."
        )
        figures = {"psi": row.psi, "psi_limit": row.psi_limit, "ks": row.ks, "n": row.n}
        subject = f"version {row.version}, {row.feature}"
        found.append(Alert("input_drift", subject, Severity.WARNING, words, figures))
    return found


def _subject(scores: Sequence[Score], variable: str) -> str:
    return f"version {scores[0].version}, {variable.replace('_', ' ')}"


def _alert(
    rule: str, scores: Sequence[Score], variable: str, severity: Severity, words: str, figures: dict[str, float]
) -> Alert:
    words = words[0].upper() + words[1:]
    return Alert(rule, _subject(scores, variable), severity, words, figures)
