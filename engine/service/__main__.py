"""Runs the engine's process."""

import sys

from engine.service.engine import main

if __name__ == "__main__":
    sys.exit(main())
