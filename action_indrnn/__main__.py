"""Runs the command line: `python -m action_indrnn`."""

from action_indrnn.cli import main

if __name__ == "__main__":
    main()
