"""Text to tokens: one a file."""
