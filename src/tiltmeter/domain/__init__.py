"""The nouns, a file each: what the product talks about. No I/O, no clock."""
