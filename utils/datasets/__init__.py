"""Data: words to ids to batches, and the data sets the book trains on."""
