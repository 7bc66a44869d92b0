"""The command `tiltmeter`, a file a command: parse, call, print."""
