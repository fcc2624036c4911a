"""The settings of Weatherglass, each a `WEATHERGLASS_*` environment variable.

The defaults are those of one machine: all services on loopback, all state in one folder. `docs/configuration.md` is
generated from this module, so the description of a field is its documentation.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, FilePath, HttpUrl, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from weatherglass.kafka_settings import KafkaSettings
from weatherglass.settings_errors import SettingsError, invalid_values, unknown_variables, variable
from weatherglass.topics import Topics

PROJECT_ROOT = Path(__file__).resolve().parent.parent
"""The folder that contains the packages: the checkout, or site-packages of an installed wheel."""
IN_CHECKOUT = (PROJECT_ROOT / "plugins" / "weatherglass_plugin.py").is_file()
"""Whether this is a checkout or the container image; the wheel contains no Airflow plugins."""
BASE_DIR = PROJECT_ROOT if IN_CHECKOUT else Path.cwd()
"""Parent of the default folders: the checkout, else the current folder."""
LOOPBACK = "127.0.0.1"
LOOPBACKS = (LOOPBACK, "::1")
MLFLOW_PAGES_PORT = 5000
"""Default port of MLflow's pages, which `weatherglass models ui` starts on loopback."""
MIN_TOKEN_LENGTH = 16
RAY_LOOPBACK = "127.0.0.2"
"""Ray replaces 127.0.0.1 by the machine's external address, but uses any other loopback address as given."""
CRON_PATTERN = r"^$|^[\w*/,#?-]+( [\w*/,#?-]+){4}$"
"""Five fields; Airflow checks the values."""
OPEN_METEO_CALLS_PER_DAY = 10_000
"""Free calls per day; a call counts once for each location in it. Source: open-meteo.com/en/terms."""


class Source(StrEnum):
    """Where observations come from."""

    AUTO = "auto"
    METAR = "metar"
    OPEN_METEO = "open-meteo"
    REPLAY = "replay"
    SIMULATE = "simulate"


def _port(default: int, service: str) -> int:
    return Field(default, ge=1024, le=65535, description=f"Port of {service}.")


class Settings(KafkaSettings, BaseSettings):
    """All settings; immutable. They are loaded once and passed on as an argument."""

    model_config = SettingsConfigDict(env_prefix="WEATHERGLASS_", frozen=True, extra="forbid")

    # --- folders
    state_dir: Path = Field(BASE_DIR / ".weatherglass", description="Folder of all state: topics, store, models, logs.")
    build_dir: Path = Field(BASE_DIR / "build", description="Folder of the jars that `make setup` downloads.")

    # --- ports; on loopback, except those of Ray
    kafka_port: int = _port(9092, "the Kafka broker")
    kafka_controller_port: int = _port(9093, "Kafka's controller")
    airflow_port: int = _port(8088, "Airflow's web UI, which includes the API and the dashboard")
    ray_port: int = _port(6379, "the Ray head")
    ray_dashboard_port: int = _port(8265, "Ray's dashboard")
    ray_worker_port_min: int = _port(20000, "the first of the 100 ports of Ray's workers and services")
    spark_ui_port: int = _port(4040, "the Spark UI of the features job")
    replay_port: int = _port(8090, "the replay server")
    api_port: int = _port(8000, "the API when it runs without Airflow")
    station_listener_port: int = _port(8091, "the listener for consoles of weather stations")

    # --- the API when it runs without Airflow
    api_host: str = Field(LOOPBACK, description="Address on which the API listens when it runs without Airflow.")
    api_token: str = Field(
        "",
        repr=False,
        description="Bearer token of the API when it runs without Airflow, at least 16 characters. Without a token the "
        "API listens only on a loopback address.",
    )

    # --- the listener for consoles of weather stations
    station_listener_host: str = Field(
        "",
        description="Address on which consumer weather stations (protocols of Weather Underground and Ecowitt) are "
        "accepted, such as `0.0.0.0` or the address in the local network. Plain HTTP. Empty: there is no listener.",
    )

    map_tiles: str = Field(
        "",
        pattern=r"^(https?://[^\s;,'\"]+\{z\}[^\s;,'\"]*)?$",
        description="URL of map tiles, `https://…/{z}/{x}/{y}.png`. Empty: the map shows coastlines without tiles.",
    )

    # --- services reached over the network
    topic_prefix: str = Field(
        "",
        pattern=r"^([A-Za-z0-9][A-Za-z0-9-]{0,49})?$",
        description="Prefix of the names of topics, consumer groups and Ray's namespace. Two installations that share "
        "a broker or a Ray head need different ones, and different state folders and stores.",
    )
    ray_address: str = Field("", description="Address of the Ray head, `host:port`. Empty: a local head.")
    spark_master: str = Field(
        "",
        pattern=r"^(spark://[^\s/]+)?$",
        description="Master of a Spark cluster, `spark://host:port`. Empty: Spark runs inside the job.",
    )
    replay_host: str = Field(
        LOOPBACK, description="Host name or address on which the replay server listens and is reached."
    )
    airflow_host: str = Field(LOOPBACK, description="Host name or address of Airflow's API server.")
    database_url: str = Field("", description="SQLAlchemy URL of the store. Empty: a SQLite file in the state folder.")
    registry_url: str = Field("", description="URL of MLflow's database. Empty: a SQLite file in the state folder.")

    # --- source of observations
    source: Source = Field(
        Source.AUTO,
        description="Source of observations. `auto`: for each station, the reports of its airport while that reports, "
        "otherwise Open-Meteo; without both, the replay. `metar`: reports of airports only. `open-meteo`: Open-Meteo "
        "only. `replay`: observations of an earlier year. `simulate`: simulated weather.",
    )
    open_meteo_url: HttpUrl = Field(
        HttpUrl("https://api.open-meteo.com"), description="Open-Meteo's forecast API (current observations)."
    )
    open_meteo_archive_url: HttpUrl = Field(
        HttpUrl("https://archive-api.open-meteo.com"), description="Open-Meteo's archive API (history)."
    )
    guidance_models: str = Field(
        "best_match",
        pattern=r"^([a-z0-9_]{1,60}(,[a-z0-9_]{1,60})*)?$",
        description="Weather models whose runs are fetched as guidance with the sources `auto`, `open-meteo` and "
        "`replay`: ids of Open-Meteo separated by commas, such as `best_match,ecmwf_ifs025`. Each one counts as one "
        "call per station and fetch. Empty: no guidance.",
    )
    metar_url: HttpUrl = Field(
        HttpUrl("https://aviationweather.gov"), description="The Aviation Weather Center's data API (airport reports)."
    )
    stations_file: Path | None = Field(
        None,
        description="Station table, a CSV file. Empty: `stations.csv` in the state folder, or, if there is none, the "
        "bundled table. Changes take effect without a restart.",
    )
    incoming_dir: Path | None = Field(
        None,
        description="Folder that is watched for files of your own stations. Empty: `incoming` in the state folder.",
    )
    mappings_file: Path | None = Field(
        None,
        description="TOML file that describes the files and MQTT messages of your own stations. Empty: `mappings.toml` "
        "in the state folder. Changes take effect without a restart.",
    )
    kaggle_zip: FilePath | None = Field(
        None,
        description='Zip file of Kaggle\'s data set "Historical Hourly Weather Data", used for history and replay.',
    )
    poll_minutes: int = Field(5, ge=1, le=5, description="Interval of polls of Open-Meteo or METAR, in minutes.")
    backfill_hours: int = Field(
        72,
        ge=0,
        le=168,
        description="Hours of past observations that are published before the first current one.",
    )
    replay_speed: float = Field(
        60.0, ge=1, le=3600, description="Speed of the replay relative to real time, until it reaches the present."
    )
    replay_start_hours: float = Field(
        24.0, ge=0, le=96, description="Hours before the present at which the replay starts."
    )
    replay_faults: float = Field(
        0.0,
        ge=0,
        le=0.2,
        description="Fraction of replayed values with injected faults. The faults are labelled in the store, to "
        "evaluate the anomaly flags. Does not affect Open-Meteo.",
    )

    simulate_stations: int = Field(100, ge=1, le=10_000, description="Number of simulated stations.")
    simulate_rate: float = Field(
        10.0, gt=0, le=1_000_000, description="Messages per second of all simulated stations together."
    )
    simulate_speed: float = Field(
        1.0, ge=1, le=3600, description="Speed of the simulation relative to real time, until it reaches the present."
    )
    simulate_start_hours: float = Field(
        0.0, ge=0, le=24, description="Hours before the present at which the simulation starts."
    )
    simulate_faults: float = Field(
        0.0, ge=0, le=0.02, description="Fraction of simulated values with injected faults, labelled in the store."
    )
    simulate_seed: int = Field(
        1, ge=0, le=2**31 - 1, description="Seed of the simulation: its stations, weather and faults."
    )

    # --- MQTT messages of own stations
    mqtt_url: str = Field(
        "",
        pattern=r"^(mqtts?://[^\s/@:]+(:\d{1,5})?)?$",
        description="MQTT broker with the messages of your own stations, `mqtt://host:port`, or `mqtts://` with TLS, "
        "without user and password. Default ports: 1883, 8883. Empty: none.",
    )
    mqtt_user: str = Field("", description="User at the MQTT broker.")
    mqtt_password: str = Field("", repr=False, description="Password at the MQTT broker.")
    mqtt_password_file: FilePath | None = Field(
        None, description="File with the password at the MQTT broker, instead of `WEATHERGLASS_MQTT_PASSWORD`."
    )
    mqtt_ca_file: FilePath | None = Field(
        None,
        description="CA certificates with which the certificate of the MQTT broker is verified. Empty: those of the "
        "system.",
    )
    mqtt_client_id: str = Field(
        "weatherglass",
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="Client id at the MQTT broker, which keeps the messages for it while it is not connected. Two "
        "installations at the same broker need different ones.",
    )

    # --- observations that the stream accepts
    future_tolerance_minutes: float = Field(
        10.0, ge=0, le=1440, description="Observations further in the future are rejected."
    )
    past_horizon_hours: float = Field(
        240.0, ge=1, le=876_000, description="Observations further in the past are rejected."
    )

    # --- resources
    spark_trigger_seconds: float = Field(0.2, ge=0, le=60, description="Trigger interval of the stream, in seconds.")
    spark_cores: int = Field(
        2,
        ge=1,
        description="Cores of Spark inside the job. With a Spark cluster: executors per job, with one core each.",
    )
    spark_memory_mb: int = Field(768, ge=512, description="Heap of the Spark driver and of each executor, in MB.")
    ray_cpus: int = Field(2, ge=1, description="CPUs of the local Ray head.")
    inference_actors: int = Field(
        1, ge=1, le=64, description="Inference actors; the partitions are divided among them."
    )

    # --- models
    false_alarms_per_week: float = Field(
        0.2,
        gt=0,
        le=10,
        description="False-alarm budget: flagged episodes per station, variable and week. Sets the limits of soft "
        "flags.",
    )
    daily_training_cron: str = Field(
        "30 2 * * *",
        pattern=CRON_PATTERN,
        description="Schedule, in UTC, of the daily refit: climatology, intervals, limits of flags. Empty: none.",
    )
    weekly_training_cron: str = Field(
        "30 3 * * 0", pattern=CRON_PATTERN, description="Schedule, in UTC, of full trainings. Empty: none."
    )
    retrain_cooldown_hours: float = Field(
        24.0, ge=1, description="Minimum time between a training and the next one that degradation triggers, in hours."
    )
    challenger_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Fraction of stations that the challenger serves. 0: it runs in shadow mode for all stations.",
    )
    train_full_model: bool = Field(
        True,
        description="Train models of the full size. If off, all trainings have the size of the first, small one.",
    )

    @field_validator(
        "state_dir",
        "build_dir",
        "kaggle_zip",
        "stations_file",
        "incoming_dir",
        "mappings_file",
        "mqtt_password_file",
        "mqtt_ca_file",
        "kafka_ca_file",
        "kafka_certificate_file",
        "kafka_key_file",
        "kafka_password_file",
    )
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        """Jobs have other current folders, so relative paths are resolved here."""
        return path.expanduser().resolve() if path else path

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ports = [name for name in type(self).model_fields if name.endswith("_port")]
        fields: dict[int, str] = {}
        for name in ports:
            port = getattr(self, name)
            if other := fields.get(port):
                raise ValueError(f"{variable(name)} and {variable(other)} are both {port}; ports must differ")
            fields[port] = name
        try:
            urlsplit(self.mqtt_url).port  # noqa: B018 (the property checks the range)
        except ValueError as error:
            raise ValueError(f"{variable('mqtt_url')} is {self.mqtt_url!r}: {error}") from None
        token = self.api_token.strip()
        if (self.api_token or self.api_host not in LOOPBACKS) and len(token) < MIN_TOKEN_LENGTH:
            raise ValueError(
                f"{variable('api_host')} is {self.api_host!r} and {variable('api_token')} has {len(token)} characters; "
                f"a token needs at least {MIN_TOKEN_LENGTH}; only {' and '.join(LOOPBACKS)} work without a token"
            )
        if self.backfill_hours + self.replay_start_hours > self.past_horizon_hours:
            raise ValueError(
                f"{variable('past_horizon_hours')} is {self.past_horizon_hours:g}, "
                f"but {variable('backfill_hours')} and {variable('replay_start_hours')} add up to "
                f"{self.backfill_hours + self.replay_start_hours:g}"
            )
        return self

    @cached_property
    def bootstrap_servers(self) -> str:
        return self.kafka_bootstrap or f"{LOOPBACK}:{self.kafka_port}"

    @cached_property
    def topics(self) -> Topics:
        """The names of topics and consumer groups."""
        return Topics(self.topic_prefix, self.kafka_replication, self.kafka_min_insync_replicas)

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
        """Folder of model artifacts, shared by training and serving."""
        return self.state_dir / "models"

    @cached_property
    def history_dir(self) -> Path:
        """Folder of the prepared history: tidy Parquet, see `weatherglass.history.prepared`."""
        return self.state_dir / "history"

    @cached_property
    def station_table(self) -> Path:
        """The user's station table; it need not exist."""
        return self.stations_file or self.state_dir / "stations.csv"

    @cached_property
    def incoming_folder(self) -> Path:
        """The folder that is watched for files of the user's own stations; it is created when they are watched."""
        return self.incoming_dir or self.state_dir / "incoming"

    @cached_property
    def mappings(self) -> Path:
        """The file that maps the user's files and MQTT messages to records; it need not exist."""
        return self.mappings_file or self.state_dir / "mappings.toml"

    @cached_property
    def kaggle_file(self) -> Path:
        """Kaggle's zip: `kaggle_zip` if it is set, else the file that `prepare_history` downloads."""
        return self.kaggle_zip or self.state_dir / "kaggle" / "historical-hourly-weather-data.zip"

    @cached_property
    def archive_dir(self) -> Path:
        """Folder of the data from Open-Meteo's archive, one file per station; `prepare_history` reads it."""
        return self.state_dir / "archive"

    @cached_property
    def jobs_dir(self) -> Path:
        """Folder of the long-lived jobs, with a subfolder for each, see `weatherglass.jobs`."""
        return self.state_dir / "jobs"

    @cached_property
    def secrets_dir(self) -> Path:
        """Folder of passwords and tokens, which are created at the first start; readable by its owner only."""
        return self.state_dir / "secrets"

    @property
    def poll_interval_minutes(self) -> int:
        """Minutes between polls of the source in use; the replay changes every minute."""
        return 1 if self.source is Source.REPLAY else self.poll_minutes

    @property
    def guidance_model_ids(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(filter(None, self.guidance_models.split(","))))

    @property
    def replay_url(self) -> str:
        return f"http://{self.replay_host}:{self.replay_port}"


def load_settings(**overrides: object) -> Settings:
    """Load the settings from the environment.

    Raises:
        SettingsError: with every invalid or unknown variable, its value and the allowed values.
    """
    try:
        settings = Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError(invalid_values(error)) from None
    if unknown := unknown_variables(Settings.model_fields):
        raise SettingsError("\n".join(unknown))
    return settings
