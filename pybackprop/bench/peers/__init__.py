"""The libraries that compete: each module makes the tasks of one, by `make`."""
