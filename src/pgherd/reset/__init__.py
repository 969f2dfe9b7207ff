"""The reset: undo in place what a test did to the clone, or detect that this cannot be done."""
