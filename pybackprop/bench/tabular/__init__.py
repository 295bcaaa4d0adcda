"""Real tables, and the models that learn them: what ``pybackprop bench tables`` compares."""
