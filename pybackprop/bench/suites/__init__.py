"""The subjects of pybackprop bench: each module measures one, by its function run."""
