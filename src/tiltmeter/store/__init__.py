"""The Delta tables: one definition, one writer."""
