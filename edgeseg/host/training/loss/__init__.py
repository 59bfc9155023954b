"""What a training step minimizes: losses, teachers, and their weighted sum."""
