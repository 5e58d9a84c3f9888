"""`python -m fewgan`, the same as the `fewgan` command; torchrun needs it."""

from fewgan.cli.commands import main

if __name__ == "__main__":
    main()
