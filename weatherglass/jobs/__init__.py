"""Long-lived jobs: the folder through which a job, its host and its supervisor talk.

An advisory lock on the folder is the only truth about whether the job lives: the kernel frees it when the last
process that inherited it is gone, however it went. Everything else in the folder is words.

| file | written by | meaning |
|---|---|---|
| `lock` | the host takes it, the job inherits it | held: the job lives |
| `start.json` | supervisor | please start this command |
| `process.json` | host | what was started, when, its process group and the id that marks its processes |
| `heartbeat` | job | touched whenever its work makes progress (its age is the silence) |
| `progress.jsonl` | job | a line per batch |
| `stop` | supervisor or `make down` | please finish the batch and end; holds who asked |
| `kill` | supervisor | end it now |
| `exit.json` | job | how it ended, in its own words |
| `job.log` | job | its standard output and error |
"""
