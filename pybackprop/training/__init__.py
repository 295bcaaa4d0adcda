"""Training: the loops of Network.fit and Network.fit_stream, checkpoints, progress, history."""
