"""What runs inside the customer's process: light, and never in the way of an answer."""
