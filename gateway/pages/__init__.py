"""Writers of the pages in docs/ that come from code."""
