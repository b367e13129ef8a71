"""One module for each kind of stream, and who follows it."""
