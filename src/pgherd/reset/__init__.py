"""The reset: undo in place what a test did to the clone, or detect that this cannot be done.

1. generator     While the template is built, write the function `pgherd.reset()` into it.
2. schema_guard  Write the part of that function which detects a changed schema.
3. resetter      After each test, call the function in the clone.

`run.worker_database` decides what follows: if the reset did not succeed, it replaces the clone.
"""
