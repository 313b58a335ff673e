"""What in a table of results cannot be, or should not be, as it is."""
