"""`python -m tickplant` is the command `tickplant`."""

import sys

from tickplant.cli import main

sys.exit(main())
