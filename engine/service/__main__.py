"""Runs the engine's process."""

import sys

from engine.service.process import ENGINE

if __name__ == "__main__":
    sys.exit(ENGINE.main())
