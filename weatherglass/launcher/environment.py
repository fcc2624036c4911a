"""The environment variables that all started programs share."""

from __future__ import annotations

import os
from pathlib import Path

from weatherglass.launcher import ray_head
from weatherglass.launcher.credentials import Credentials
from weatherglass.settings import LOOPBACK, RAY_LOOPBACK, Settings, Source


def shared_environment(settings: Settings, bin_folder: Path, credentials: Credentials) -> dict[str, str]:
    """The settings with absolute paths and the source in use, the tools of the virtual environment, no telemetry."""
    environment = {
        **os.environ,
        **ray_head.client_environment(credentials),
        "WEATHERGLASS_STATE_DIR": str(settings.state_dir),
        "WEATHERGLASS_BUILD_DIR": str(settings.build_dir),
        **({"WEATHERGLASS_KAGGLE_ZIP": str(settings.kaggle_zip)} if settings.kaggle_zip else {}),
        "WEATHERGLASS_SOURCE": settings.source.value,
        "PATH": f"{bin_folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "VIRTUAL_ENV": str(bin_folder.parent),
        "PYSPARK_PYTHON": str(bin_folder / "python"),
        "PYSPARK_DRIVER_PYTHON": str(bin_folder / "python"),
        "SPARK_LOCAL_IP": LOOPBACK,
        "PYTHONUNBUFFERED": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        # A proxy of the user is only for other hosts.
        **{name: _no_proxy(os.environ.get(name, "")) for name in ("NO_PROXY", "no_proxy")},
    }
    if settings.source is Source.REPLAY:
        environment |= {
            "WEATHERGLASS_OPEN_METEO_URL": settings.replay_url,
            "WEATHERGLASS_OPEN_METEO_ARCHIVE_URL": settings.replay_url,
            "WEATHERGLASS_METAR_URL": settings.replay_url,
        }
    return environment


def _no_proxy(names: str) -> str:
    return ",".join(filter(None, [names, LOOPBACK, RAY_LOOPBACK, "localhost"]))
