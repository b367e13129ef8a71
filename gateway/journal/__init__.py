"""Commands to the journal and their answers back."""
