"""`python -m edgeseg.cli`, for a machine where the script is not on the path."""

from edgeseg.cli import main

main()
