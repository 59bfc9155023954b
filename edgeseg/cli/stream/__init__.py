"""`edgeseg stream`: the command, its tables and its messages."""
