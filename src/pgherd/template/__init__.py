"""The template: a database that is migrated once, frozen, and cloned for every worker."""
