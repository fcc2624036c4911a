"""`python -m weatherglass.monitor <job folder>`."""

import sys
from pathlib import Path

from weatherglass.monitor.monitor import main

main(Path(sys.argv[1]))
