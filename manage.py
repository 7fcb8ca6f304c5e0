#!/usr/bin/env python
"""Run one of the server's commands."""

import os
import sys


def main(arguments: list[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dadc_server.settings")
    from django.core.management import execute_from_command_line

    try:
        "\n".join(arguments).encode()
    except UnicodeEncodeError:  # no database keeps such a text, and no terminal shows it
        sys.exit("manage.py: the arguments must be UTF-8.")
    execute_from_command_line(arguments)


if __name__ == "__main__":
    main(sys.argv)
