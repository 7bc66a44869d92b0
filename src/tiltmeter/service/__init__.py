"""What runs for months: scheduler, sender, HTTP."""
