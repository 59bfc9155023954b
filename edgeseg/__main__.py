"""`python -m edgeseg`, and what `torchrun -m edgeseg` starts on every rank."""

from edgeseg.cli import main

main()
