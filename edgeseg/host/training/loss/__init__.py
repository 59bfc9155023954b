"""What a training step minimises: losses, teachers, and their weighted sum."""
