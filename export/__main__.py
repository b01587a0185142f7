"""``python -m export``: the workshop's command line."""

from export.cli import main

if __name__ == "__main__":
    main()
