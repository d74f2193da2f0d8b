"""A farm host as a process of the stress test: `farm host --all`, with the words that do a job told to it."""

from __future__ import annotations

import sys

from agent.commands.console import logged
from agent.commands.farm import serve
from agent.settings import load


def main() -> None:
    settings = load({}).settings
    consume = (sys.executable, "-P", "-m", "agent.cli", "farm", "consume")
    with logged(settings):
        serve(settings, (), True, ("rack",), sys.argv[1:], consume)


if __name__ == "__main__":
    main()
