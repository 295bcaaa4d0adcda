"""What all web pages have in common: the shell, its colours, and how numbers are written."""
