"""`python -m weatherglass.sink <job folder>`."""

import sys
from pathlib import Path

from weatherglass.sink.sink import main

main(Path(sys.argv[1]))
