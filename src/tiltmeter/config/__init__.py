"""The configuration file: settings, rules, and errors a person understands."""
