"""`python -m components.cli` is the command line too."""

from __future__ import annotations

import sys

from components.cli import main

sys.exit(main())
