"""The loop from graphs to checkpoints."""
