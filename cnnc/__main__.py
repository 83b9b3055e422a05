"""`python -m cnnc` is the `cnnc` command."""

from cnnc.cli import main

main()
