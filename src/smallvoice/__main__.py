"""`python -m smallvoice`."""

from smallvoice.cli import main

main()
