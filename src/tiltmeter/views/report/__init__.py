"""Pages that stand alone: one file, no scripts, readable on a screen, on paper and in an archive."""
