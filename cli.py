"""Runs the command line from a checkout, without an installation: `python cli.py --help`."""

from pathlib import Path

import action_indrnn

# The package's other folders stand beside it in a checkout. At import, so that processes spawned later see
# them too.
action_indrnn.__path__.append(str(Path(__file__).resolve().parent))

if __name__ == "__main__":
    from action_indrnn.cli import main

    main()
