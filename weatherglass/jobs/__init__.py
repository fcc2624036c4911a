"""Long-lived jobs: the folder through which a job, the job host and its supervisor communicate.

Only an advisory lock in the folder decides whether the job is alive: the kernel releases it when the last
process that inherited it has ended, for whatever reason. All other files carry requests and reports.

| file | written by | meaning |
|---|---|---|
| `lock` | acquired by the host, inherited by the job | locked: the job is alive |
| `start.json` | supervisor | request to start a command |
| `restart` | supervisor | request to start the last command again, if this host started it |
| `process.json` | host | the last start: time, command, process group, id that marks its processes |
| `heartbeat` | job | touched whenever the work makes progress |
| `progress.jsonl` | job | one line per batch |
| `stop` | supervisor or `make down` | request to finish the batch and end; names the requester |
| `kill` | supervisor | request to end immediately |
| `exit.json` | job | how it ended |
| `job.log` | job | its standard output and error |
"""
