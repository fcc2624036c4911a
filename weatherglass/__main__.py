"""`python -m weatherglass`: the command `weatherglass`."""

import sys

from weatherglass.cli.main import main

sys.exit(main())
