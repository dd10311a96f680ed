"""From trained weights to the release draft: graphs, vectors, laws, card."""
