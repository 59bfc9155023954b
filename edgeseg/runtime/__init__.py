"""The board's side: one runtime, the frame loop and what is measured in it. Never imports torch."""
