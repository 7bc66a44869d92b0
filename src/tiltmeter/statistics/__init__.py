"""Pure functions of integer profiles: every number of a comparison, and nothing that decides."""
