"""The same trunk in PyTorch over batches of people, which the device bench (`npm run bench:gpu`) measures beside the graphs."""
