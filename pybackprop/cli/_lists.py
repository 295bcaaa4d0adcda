"""Options that take several values, or one at most: ``--hidden 64 32``, ``--hidden 64,32``.

argparse would let such an option swallow the file name that follows it. Here the values of an
option end before a file name that the command still lacks (``--hidden 64 32 data.csv``, ``--ignore
id data.csv``), and before a word that is no value of the option (``--table 2-3-1``).
"""

from __future__ import annotations

import argparse
import csv
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

Convert = Callable[[str], Any]
# A number, or numbers between commas, of which the first is negative.
_NEGATIVE = re.compile(r"-(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?:,.*)?")


class ListOption(NamedTuple):
    """An option that takes a list: the type of a value, and what it means to give it again.

    The lists then add up, or the last one counts.
    """

    convert: Convert
    adds_up: bool


def list_of(convert: Convert, least: int) -> Convert:
    """Return the type of an option whose values are joined by commas, at least so many.

    A value that contains a comma must be in double quotes.
    """

    def split(text: str) -> list[Any]:
        try:
            words = next(csv.reader([text], skipinitialspace=True), []) if text.strip() else []
        except csv.Error:
            words = [""]
        if not all(word.strip() for word in words):
            raise argparse.ArgumentTypeError(f"expected values between commas, got {text!r}")
        if len(words) < least:
            raise argparse.ArgumentTypeError("expected at least one value")
        return [convert(word.strip()) for word in words]

    return split


def join_lists(
    arguments: Sequence[str],
    lists: Mapping[str, ListOption],
    options: Mapping[str, argparse.Action],
    n_names: int,
) -> list[str]:
    """Return arguments with the words of every list joined: ``--hidden=64,32``.

    An option with one value at most is joined with it, or with its constant.

    Parameters
    ----------
    arguments : sequence of str
        The words of a command line after the command.
    lists : dict of str to ListOption
        The options that take lists.
    options : dict of str to Action
        All options of the command.
    n_names : int
        How many words the command takes that belong to no option.
    """
    rest: list[str] = []
    runs: list[tuple[str, list[str]]] = []
    ends: list[tuple[str, list[str]]] = []
    n_found, at = 0, 0
    while at < len(arguments):
        word = arguments[at]
        at += 1
        flag, equals, value = word.partition("=")
        if word == "--":
            rest += arguments[at - 1 :]
            n_found += len(arguments) - at
            break
        if flag in lists and equals:
            runs.append((flag, [value]))
        elif flag in lists:
            later = range(at, len(arguments))
            end = next((i for i in later if _ends_list(arguments[i])), len(arguments))
            runs.append((flag, list(arguments[at:end])))
            ends.append(runs[-1])
            at = end
        elif word in options and options[word].nargs == "?":
            value, at = _optional(options[word], arguments, at)
            rest.append(f"{word}={value}")
        elif _is_option(word):
            rest.append(word)
            if word in options and options[word].nargs is None:
                rest += arguments[at : at + 1]
                at += 1
        else:
            rest.append(word)
            n_found += 1
    if n_found < n_names:
        rest += _give_back(ends, lists)
    return [*_joined(runs, lists), *rest]


def _is_option(word: str) -> bool:
    return len(word) > 1 and word.startswith("-")


def _ends_list(word: str) -> bool:
    """Tell whether a word is no value of a list: an option, but not a number such as -999."""
    return _is_option(word) and _NEGATIVE.fullmatch(word) is None


def _optional(option: argparse.Action, arguments: Sequence[str], at: int) -> tuple[str, int]:
    """Return the value of an option with one value at most, and where the next word stands."""
    convert: Any = option.type or str
    try:
        convert(arguments[at])
    except (IndexError, argparse.ArgumentTypeError):
        return str(option.const), at
    return arguments[at], at + 1


def _joined(runs: Sequence[tuple[str, list[str]]], lists: Mapping[str, ListOption]) -> list[str]:
    """Return one argument for each option, however often it was given."""
    words: dict[str, list[str]] = {}
    for flag, given in runs:
        words[flag] = words.get(flag, []) + given if lists[flag].adds_up else given
    return [
        f"{flag}={','.join(filter(None, (word.strip(',') for word in given)))}"
        for flag, given in words.items()
    ]


def _give_back(ends: Sequence[tuple[str, list[str]]], lists: Mapping[str, ListOption]) -> list[str]:
    """Remove the missing positional argument from the end of a list and return it.

    It is a word that is no value of its list, else one that is the path of a file, else the last.
    """
    for flag, words in ends:
        if words and not _is_value(words[-1], lists[flag].convert):
            return [words.pop()]
    texts = [words for flag, words in ends if lists[flag].convert is str and len(words) > 1]
    for words in texts:
        if os.path.exists(words[-1]):
            return [words.pop()]
    return [texts[-1].pop()] if texts else []


def _is_value(word: str, convert: Convert) -> bool:
    try:
        list_of(convert, 0)(word)
    except argparse.ArgumentTypeError:
        return False
    return True
