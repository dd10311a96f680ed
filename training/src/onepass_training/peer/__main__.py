"""python -m onepass_training.peer."""

from .serve import main

main()
