"""``python -m cardiomesh.cli``: the same command where no script is installed."""

from cardiomesh.cli.main import main

if __name__ == "__main__":
    main()
