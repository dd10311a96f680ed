"""What a model must beat: evaluated by the same code, on the same slates, trained within the same budget."""
