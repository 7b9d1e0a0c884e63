"""Models inside of other programs: E, F = -dE/dr and the stress, where these ask for them.

Names to know: `PredictorCalculator`, the calculator of ASE.
A new engine is one file here, around `Predictor.predict`.
"""
