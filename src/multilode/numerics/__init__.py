"""Analysis that knows no atoms: special functions, Chebyshev series, and the memory there is.

Gamma functions and exponential integrals are differentiable in their order as well as in x.
Names to know: `special`, `ChebyshevSeries`, `require_bytes`.
A function belongs here if nothing in its docstring needs the word atom.
"""
