"""Every port, path and rate of Weatherglass, each a `WEATHERGLASS_*` variable.

The defaults are those of one machine: everything on loopback, all state in one folder. `docs/configuration.md`
is made from this module, so the description of a field is its documentation.
"""

from __future__ import annotations

import difflib
import os
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Self

from pydantic import Field, FilePath, HttpUrl, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parent.parent
"""The folder that contains the packages: the checkout, or site-packages of an installed wheel."""
IN_CHECKOUT = (PROJECT_ROOT / "plugins" / "weatherglass_plugin.py").is_file()
"""Whether this is a checkout or the container image; the wheel contains no Airflow plugins."""
BASE_DIR = PROJECT_ROOT if IN_CHECKOUT else Path.cwd()
"""Parent of the default folders: the checkout, else the current folder."""
LOOPBACK = "127.0.0.1"
LOOPBACKS = (LOOPBACK, "::1")
MIN_TOKEN_LENGTH = 16
RAY_LOOPBACK = "127.0.0.2"
"""Ray takes 127.0.0.1 for the machine's outer address, and any other loopback address as it is."""
OPEN_METEO_CALLS_PER_DAY = 10_000
"""Free calls a day; a call counts once for each location in it. Source: open-meteo.com/en/terms."""


class Source(StrEnum):
    """Where observations come from."""

    AUTO = "auto"
    OPEN_METEO = "open-meteo"
    REPLAY = "replay"


class SettingsError(ValueError):
    """A setting that cannot be used; the message names the variable and what is allowed."""


def _port(default: int, what: str) -> int:
    return Field(default, ge=1024, le=65535, description=f"Port of {what}.")


class Settings(BaseSettings):
    """The settings of one Weatherglass; immutable, passed in, never read again deep inside."""

    model_config = SettingsConfigDict(env_prefix="WEATHERGLASS_", frozen=True, extra="forbid")

    # --- folders
    state_dir: Path = Field(
        BASE_DIR / ".weatherglass", description="The one folder that holds all state: topics, store, models, logs."
    )
    build_dir: Path = Field(BASE_DIR / "build", description="Folder of the jars that `make setup` fetches.")

    # --- ports, on loopback except Ray's
    kafka_port: int = _port(9092, "the Kafka broker")
    kafka_controller_port: int = _port(9093, "Kafka's controller")
    airflow_port: int = _port(8088, "Airflow's web UI, with the API inside")
    ray_port: int = _port(6379, "the Ray head")
    ray_dashboard_port: int = _port(8265, "Ray's dashboard")
    ray_worker_port_min: int = _port(20000, "the first of the 100 ports of Ray's workers and services")
    spark_ui_port: int = _port(4040, "the Spark UI of the features job")
    replay_port: int = _port(8090, "the replay server")
    api_port: int = _port(8000, "the API when it runs alone")

    # --- the API when it runs alone
    api_host: str = Field(LOOPBACK, description="Address on which the API listens when it runs alone.")
    api_token: str = Field(
        "",
        repr=False,
        description="Bearer token that the API wants when it runs alone, at least 16 characters; "
        "none: no token, and then only a loopback address.",
    )

    map_tiles: str = Field(
        "",
        pattern=r"^(https?://[^\s;,'\"]+\{z\}[^\s;,'\"]*)?$",
        description="Address of map tiles, `https://…/{z}/{x}/{y}.png`; empty: the dashboard draws outlines of land.",
    )

    # --- services reached over the network
    kafka_bootstrap: str = Field(
        "", description="Kafka's bootstrap servers, `host:port,…`; empty: the embedded broker on `kafka_port`."
    )
    ray_address: str = Field("", description="Address of the Ray head, `host:port`; empty: the local head.")
    spark_master: str = Field(
        "",
        pattern=r"^(spark://[^\s/]+)?$",
        description="Master of a Spark cluster, `spark://host:port`; empty: Spark runs inside the job.",
    )
    replay_host: str = Field(
        LOOPBACK, description="Name or address on which the replay server listens, and under which it is reached."
    )
    airflow_host: str = Field(LOOPBACK, description="Name or address under which Airflow's API server is reached.")
    database_url: str = Field("", description="SQLAlchemy URL of the store; empty: a SQLite file in the state folder.")
    registry_url: str = Field("", description="URL of MLflow's tables; empty: a SQLite file in the state folder.")

    # --- source of observations
    source: Source = Field(
        Source.AUTO, description="`open-meteo`, `replay`, or `auto`: Open-Meteo when it answers, else the replay."
    )
    open_meteo_url: HttpUrl = Field(
        HttpUrl("https://api.open-meteo.com"), description="Open-Meteo's forecast API (current observations)."
    )
    open_meteo_archive_url: HttpUrl = Field(
        HttpUrl("https://archive-api.open-meteo.com"), description="Open-Meteo's archive API (history)."
    )
    kaggle_zip: FilePath | None = Field(
        None, description="Kaggle's «Historical Hourly Weather Data» zip, for history and replay."
    )
    poll_minutes: int = Field(5, ge=1, le=5, description="Minutes between two polls of Open-Meteo.")
    backfill_hours: int = Field(
        72, ge=0, le=168, description="Hours of the past that are published before the first live observation."
    )
    replay_speed: float = Field(
        60.0, ge=1, le=3600, description="How many times as fast as the clock the replay runs until it has caught up."
    )
    replay_start_hours: float = Field(24.0, ge=0, le=96, description="How long ago the replay starts, hours.")
    replay_faults: float = Field(
        0.0,
        ge=0,
        le=0.2,
        description="Share of the replayed values that are disturbed on purpose, with labels in the store, to see how "
        "good the anomaly flags are; 0: none. Never touches what Open-Meteo answers.",
    )

    # --- what the stream accepts
    future_tolerance_minutes: float = Field(
        10.0, ge=0, le=1440, description="An observation further in the future than this is rejected."
    )
    past_horizon_hours: float = Field(
        240.0, ge=1, description="An observation further in the past than this is rejected."
    )

    # --- resources
    spark_trigger_seconds: float = Field(0.2, ge=0, le=60, description="Seconds between two batches of the stream.")
    spark_cores: int = Field(
        2, ge=1, description="Cores of the local Spark; with `spark_master`, executors of a job, a core each."
    )
    spark_memory_mb: int = Field(768, ge=512, description="Heap of the Spark driver and of each executor, MB.")
    ray_cpus: int = Field(2, ge=1, description="CPUs that the local Ray head offers.")
    inference_actors: int = Field(1, ge=1, le=64, description="Inference actors; each owns a share of the partitions.")

    # --- models
    false_alarms_per_week: float = Field(
        0.2,
        gt=0,
        le=10,
        description="False alarms a week that each variable of a station may raise; the limits of flags follow.",
    )
    retrain_days: int = Field(
        7,
        ge=0,
        le=365,
        description="Days between two trainings on all that has been gathered: 1 daily, 7 weekly, 0 none.",
    )
    retrain_cooldown_hours: float = Field(
        24.0, ge=1, description="Hours after a training before degradation may start the next one."
    )
    challenger_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the stations that the challenger answers for; 0: it runs in shadow on all of them.",
    )
    train_full_model: bool = Field(True, description="After the first, small model train the full one behind it.")

    @field_validator("state_dir", "build_dir", "kaggle_zip")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        """The jobs run in folders of their own, so a path must mean the same everywhere."""
        return path.expanduser().resolve() if path else path

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ports = [name for name in type(self).model_fields if name.endswith("_port")]
        taken: dict[int, str] = {}
        for name in ports:
            port = getattr(self, name)
            if other := taken.get(port):
                raise ValueError(f"{variable(name)} and {variable(other)} are both {port}; give each its own port")
            taken[port] = name
        token = self.api_token
        if (token or self.api_host not in LOOPBACKS) and len(token) < MIN_TOKEN_LENGTH:
            raise ValueError(
                f"{variable('api_host')} is {self.api_host!r} and {variable('api_token')} has {len(token)} characters; "
                f"a token needs {MIN_TOKEN_LENGTH} or more, and only {' and '.join(LOOPBACKS)} need none"
            )
        if self.backfill_hours + self.replay_start_hours > self.past_horizon_hours:
            raise ValueError(
                f"{variable('past_horizon_hours')} is {self.past_horizon_hours:g}, "
                f"but the backfill reaches {self.backfill_hours + self.replay_start_hours:g} hours back"
            )
        return self

    @cached_property
    def bootstrap_servers(self) -> str:
        return self.kafka_bootstrap or f"{LOOPBACK}:{self.kafka_port}"

    @cached_property
    def ray_head(self) -> str:
        return self.ray_address or f"{RAY_LOOPBACK}:{self.ray_port}"

    @cached_property
    def ray_dashboard(self) -> str:
        host = self.ray_head.rpartition(":")[0] if self.ray_address else LOOPBACK
        return f"http://{host}:{self.ray_dashboard_port}"

    @cached_property
    def store_url(self) -> str:
        return self.database_url or f"sqlite:///{self.state_dir / 'weatherglass.db'}"

    @cached_property
    def mlflow_url(self) -> str:
        return self.registry_url or f"sqlite:///{self.state_dir / 'mlflow.db'}"

    @cached_property
    def artifacts_dir(self) -> Path:
        """Folder of the registry's artefacts, shared by all who train and serve."""
        return self.state_dir / "models"

    @cached_property
    def history_dir(self) -> Path:
        """Folder of the prepared history: tidy Parquet, see `weatherglass.history.prepared`."""
        return self.state_dir / "history"

    @cached_property
    def kaggle_file(self) -> Path:
        """Kaggle's zip: the one that was given, else the place of the one that `prepare_history` downloads."""
        return self.kaggle_zip or self.state_dir / "kaggle" / "historical-hourly-weather-data.zip"

    @cached_property
    def archive_dir(self) -> Path:
        """Folder of what was fetched from Open-Meteo's archive, a file a station; `prepare_history` reads it."""
        return self.state_dir / "archive"

    @cached_property
    def jobs_dir(self) -> Path:
        """Folder of the long-lived jobs; each has its own below it, see `weatherglass.jobs`."""
        return self.state_dir / "jobs"

    @cached_property
    def secrets_dir(self) -> Path:
        """Folder of passwords and tokens made at first start; only its owner may read it."""
        return self.state_dir / "secrets"

    @property
    def replay_url(self) -> str:
        return f"http://{self.replay_host}:{self.replay_port}"


def variable(field: str) -> str:
    """The environment variable of a field: `kafka_port` is set by `WEATHERGLASS_KAFKA_PORT`."""
    return f"WEATHERGLASS_{field.upper()}"


def load_settings(**overrides: object) -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsError: naming each variable that cannot be used, its value and what is allowed.
    """
    try:
        settings = Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError("\n".join(_in_words(problem) for problem in error.errors())) from None
    unknown = _unknown_variables()
    if unknown:
        raise SettingsError("\n".join(unknown))
    return settings


def _in_words(problem: ErrorDetails) -> str:
    if not problem["loc"]:
        return str(problem["msg"]).removeprefix("Value error, ")
    name = variable(str(problem["loc"][0]))
    return f"{name}={problem['input']!r} cannot be used: {problem['msg']}"


def _unknown_variables() -> list[str]:
    known = [variable(name) for name in Settings.model_fields]
    wrong = [name for name in os.environ if name.startswith("WEATHERGLASS_") and name not in known]
    sentences = []
    for name in wrong:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else "; docs/configuration.md lists the settings"
        sentences.append(f"{name} is no setting of Weatherglass{hint}")
    return sentences
