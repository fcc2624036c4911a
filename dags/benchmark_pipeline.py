"""
### What it does
Measures the pipeline under load: latency, throughput, lag, CPU and memory. For each load it starts an isolated pipeline
on the same broker and Ray head, with its own topics, consumer groups, actors, checkpoint and store, sends it
observations of simulated stations, and removes it afterwards. The serving pipeline and its data are not touched, but
both share the machine: what the serving pipeline uses meanwhile is missing in the results. Parameters:
- `scenario`: what is varied, one load after the other. `baseline`: nothing. `stations`: 10, 50, 100. `rates`: 10, 50,
  100 observations per second. `workers`: 1, 2, 4 of Spark's cores and of inference actors.
- `stations`, `rate`, `workers`: the numbers that are not varied. `minutes`: duration of each measurement; each load
  takes about a minute longer.

### What its log shows
The load that is measured, and at the end a table with one row for each. The results are also in the store (table
`benchmark_results`) and in `benchmarks/results` in the state folder, as Parquet and CSV.

### When it fails (triage)
The serving pipeline is not affected. Loads that were measured are saved.
- *A job ended*, *no prediction*: the log has the end of that job's output. The usual cause is too little memory.
- *Could not be removed completely*: the broker or Ray does not respond. The next run removes the rest.
- *The task was killed*: what it had started is removed within a minute; `benchmarks/host.log` in the state folder shows
  it.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, task

from plugins import policy
from plugins.tasks import benchmark

with DAG(
    dag_id="benchmark_pipeline",
    dag_display_name="Benchmark the pipeline",
    description="Measures latency, throughput and resource usage under load",
    doc_md=__doc__,
    schedule=None,
    dagrun_timeout=timedelta(hours=4),
    params={
        "scenario": Param(
            benchmark.SCENARIOS[0],
            type="string",
            enum=benchmark.SCENARIOS,
            title="Scenario",
            description="What is varied.",
        ),
        "stations": Param(
            benchmark.DEFAULT.stations,
            type="integer",
            minimum=1,
            maximum=10_000,
            examples=[20, 500],
            title="Stations",
            description="Number of simulated stations, for example 500.",
        ),
        "rate": Param(
            benchmark.DEFAULT.rate,
            type="number",
            exclusiveMinimum=0,
            maximum=100_000,
            examples=[10, 0.5],
            title="Rate",
            description="Observations per second of all stations together, for example 0.5.",
        ),
        "workers": Param(
            benchmark.DEFAULT.workers,
            type="integer",
            minimum=1,
            maximum=benchmark.MAX_WORKERS,
            examples=[1, 2],
            title="Workers",
            description="Spark's cores, and inference actors, for example 2.",
        ),
        "minutes": Param(
            2.0,
            type="number",
            exclusiveMinimum=0,
            maximum=60,
            examples=[2, 0.5],
            title="Minutes",
            description="Duration of each measurement, for example 0.5.",
        ),
    },
    tags=[policy.TAG, "benchmark"],
    **policy.DAG_DEFAULTS,
):
    task(
        task_id="measure",
        task_display_name="Measure loads",
        pool=policy.HEAVY_POOL,
        execution_timeout=timedelta(hours=4),
    )(benchmark.measure)()
