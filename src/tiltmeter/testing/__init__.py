"""What other people's implementations can be tested with: contracts of the ports, and local receivers."""
