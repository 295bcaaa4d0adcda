"""The page that shows a network at work: every value of the forward and the backward pass."""

from .page import make_page, write_page

__all__ = ["make_page", "write_page"]
