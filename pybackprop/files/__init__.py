"""Reading files that may be hostile, and replacing files atomically."""
