#!/usr/bin/env python3
"""Run coding agents over a queue of tasks; `--help` tells how."""

from __future__ import annotations

import sys

from components.entry import main

if __name__ == "__main__":
    sys.exit(main())
