"""What makes the tables, and the rows that are always there."""
