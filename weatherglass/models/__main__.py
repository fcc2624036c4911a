"""The registry by hand: who serves, who challenges, what is in quarantine.

    python -m weatherglass.models list
    python -m weatherglass.models promote VERSION --reason TEXT [--kind anomaly-detector]
    python -m weatherglass.models challenge VERSION --reason TEXT
    python -m weatherglass.models withdraw --reason TEXT
    python -m weatherglass.models rollback --reason TEXT

Every change is a line of the log of promotions, with the user's name and the reason.
"""

from __future__ import annotations

import argparse
import getpass
import sys

from weatherglass.models.catalogue import registered
from weatherglass.models.registry import FORECASTER, KINDS, NothingToRollBackTo, Registry
from weatherglass.records import iso
from weatherglass.settings import load_settings


def main(arguments: list[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    settings = load_settings()
    registry = Registry(settings)
    if chosen.command == "list":
        refused = {(kind, version): why for kind in KINDS for version, why in registry.refused(kind).items()}
        for model in registered(settings):
            state = refused.get((model.kind, model.version))
            said = f"in quarantine: {state}" if state else ", ".join(model.aliases)
            print(f"{model.kind:<17}{model.version:>4}  {iso(model.created_at)}  {said}".rstrip())
        for line in registry.promotions():
            moved = f"{line.from_version or 'none'} -> {line.to_version or 'none'}"
            print(f"{iso(line.at)}  {line.kind} {line.action.value} {moved} by {line.who}: {line.why}")
        return 0
    who = getpass.getuser()
    try:
        if chosen.command == "rollback":
            done = registry.roll_back(chosen.kind, who, chosen.reason)
            print(f"{done.kind} version {done.to_version} serves again instead of {done.from_version}")
            return 0
        if chosen.command == "withdraw":
            registry.withdraw(chosen.kind, who, chosen.reason, {})
            return 0
        if registry.version(chosen.kind, chosen.version) is None:
            known = ", ".join(m.version for m in registered(settings) if m.kind == chosen.kind) or "none"
            raise LookupError(f"there is no {chosen.kind} version {chosen.version}; registered are: {known}")
        change = registry.promote if chosen.command == "promote" else registry.challenge
        change(chosen.kind, chosen.version, who, chosen.reason, {})
    except (NothingToRollBackTo, LookupError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m weatherglass.models", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="versions, quarantine, and the log of promotions")
    for name, words in (
        ("promote", "make a version champion, or have one in quarantine tried again"),
        ("challenge", "compare a version with the champion"),
        ("withdraw", "have no challenger"),
        ("rollback", "make the previous champion serve again"),
    ):
        command = commands.add_parser(name, help=words)
        command.add_argument("--kind", choices=KINDS, default=FORECASTER)
        command.add_argument("--reason", required=True, help="kept in the log for good")
        if name in ("promote", "challenge"):
            command.add_argument("version")
    return parser


if __name__ == "__main__":
    sys.exit(main())
