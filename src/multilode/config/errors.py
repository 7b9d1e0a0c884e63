"""The error of a configuration, and the word that was probably meant."""

import difflib
from collections.abc import Iterable

from multilode.errors import UserError

# What other programs call the same setting.
_OTHER_NAMES = {
    "sigma": "smearing",
    "width": "smearing",
    "gaussian_width": "smearing",
    "l_max": "max_angular",
    "lmax": "max_angular",
    "n_max": "n_radial",
    "nmax": "n_radial",
    "max_radial": "n_radial",
    "r_cut": "cutoff",
    "rcut": "cutoff",
    "radius": "cutoff",
    "members": "n_members",
    "p": "exponent",
    "potential_exponent": "exponent",
    "alpha": "regularization",
    "lambda": "regularization",
    "regulariser": "regularization",
    "property": "key",
    "name": "kind",
    "type": "kind",
}


class ConfigError(UserError):
    """A configuration that cannot be used; the message is one line."""


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """The allowed word that was probably meant, if there is one.

    Args:
        word: the word as written.
        allowed: the words that exist.
    """
    names = list(allowed)
    candidates = {other: name for other, name in _OTHER_NAMES.items() if name in names}
    candidates |= {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), list(candidates), n=1, cutoff=0.6)
    return candidates[close[0]] if close else None
