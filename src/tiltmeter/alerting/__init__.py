"""From numbers to people: rules, the lifecycle of alerts, incidents, escalation, and the words. Pure, no I/O."""
