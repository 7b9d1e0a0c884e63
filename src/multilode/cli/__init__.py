"""The command line: parse, call the library, print or write; no numerics.

Names to know: `main.run`, which returns the exit code: 0 done, 1 our bug, 2 the user's input.
A new command is one file here and one function in `main.py`, which imports it when it is called.
"""
