"""`edgeseg gate`: the command and its pages."""
