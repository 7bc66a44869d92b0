"""What to measure on which window: profiles, traffic, outcomes and runs in, metrics out. Pure."""
