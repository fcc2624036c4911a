"""What a Ray job receives from the task that submits it."""

from __future__ import annotations

from plugins.ray_submission.operator import job_environment


def test_a_job_receives_the_settings_without_the_token_of_the_api() -> None:
    environment = {
        "WEATHERGLASS_API_HOST": "0.0.0.0",
        "WEATHERGLASS_API_TOKEN": "secret",
        "WEATHERGLASS_STATE_DIR": "/state",
        "WEATHERGLASS_DATABASE_URL": "postgresql+psycopg://weatherglass@postgres/weatherglass",
        "AIRFLOW__CORE__FERNET_KEY": "secret",
        "PGPASSWORD": "secret",
    }
    assert job_environment(environment) == {
        "WEATHERGLASS_STATE_DIR": "/state",
        "WEATHERGLASS_DATABASE_URL": "postgresql+psycopg://weatherglass@postgres/weatherglass",
    }
