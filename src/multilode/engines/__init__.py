"""Models inside of other programs; each engine is one file.

Names to know: `PredictorCalculator`, the calculator of ASE.
"""
