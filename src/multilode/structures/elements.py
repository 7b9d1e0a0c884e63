"""Chemical symbols and atomic numbers."""

_TABLE = """
H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br
Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er
Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md
No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""
_SYMBOLS = tuple(_TABLE.split())
HEAVIEST = len(_SYMBOLS)  # atomic number of the last element
_NUMBERS = {symbol: number for number, symbol in enumerate(_SYMBOLS, start=1)}


def atomic_number(symbol: str) -> int:
    """The atomic number of a chemical symbol.

    Args:
        symbol: such as `O`, in any case.

    Raises:
        ValueError: if there is no such element.
    """
    number = _NUMBERS.get(symbol.strip().capitalize(), 0)
    if number == 0:
        raise ValueError(f"'{symbol}' is not a chemical element; give a symbol such as 'O'")
    return number


def chemical_symbol(number: int) -> str:
    """The chemical symbol of an atomic number; `Z=0` and the like for those of no element."""
    return _SYMBOLS[number - 1] if 1 <= number <= len(_SYMBOLS) else f"Z={number}"
