"""The SegNet paper: its tables, and our figures for the same networks."""
