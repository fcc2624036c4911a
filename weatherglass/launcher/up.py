"""`make up`: starts everything phase by phase, supervises the programs, and stops them at the end."""

from __future__ import annotations

import os
from collections.abc import Callable

import requests

from weatherglass.files import DamagedFileError
from weatherglass.launcher import stopping
from weatherglass.launcher.console import Console
from weatherglass.launcher.errors import StartError
from weatherglass.launcher.kafka import BrokerError
from weatherglass.launcher.phases import PHASES, Startup
from weatherglass.launcher.processes import LAUNCHER, ProcessRecords
from weatherglass.launcher.state_folder import check_format, launcher_lock
from weatherglass.launcher.supervisor import StopRequested, Supervisor
from weatherglass.settings import Settings


def up(settings: Settings, show_status: Callable[[Settings], int]) -> int:
    """Run Weatherglass in the foreground until it is stopped.

    Returns:
        The exit status: 0, or 1 if it could not be started.
    """
    os.umask(0o077)
    console = Console()
    try:
        check_format(settings)
    except (StartError, DamagedFileError) as error:
        console.write(str(error))
        return 1
    with launcher_lock(settings) as acquired:
        if acquired:
            return _run(settings, console)
    console.write(f"Weatherglass is already running in {settings.state_dir}; stop it with: make down\n")
    show_status(settings)
    return 0


def _run(settings: Settings, console: Console) -> int:
    supervisor = Supervisor(settings, console.log)
    supervisor.stop_on_signals()
    records = ProcessRecords(settings)
    records.write(LAUNCHER, os.getpid())
    status = 0
    try:
        startup = Startup(settings, console, supervisor)
        for phase in PHASES:
            supervisor.check_stop()
            phase(startup)
        supervisor.run()
    except StopRequested:
        pass
    except (StartError, BrokerError, DamagedFileError, OSError, requests.RequestException) as error:
        console.log(f"Weatherglass failed: {error}")
        status = 1
    finally:
        stopped = stopping.stop_everything(settings, console.log)
        records.remove(LAUNCHER)
    console.log("Weatherglass is down" if stopped else "some processes could not be ended; list them with: make status")
    return status
