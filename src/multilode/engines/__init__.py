"""Models inside of other programs: E, F = -dE/dr and the stress, where these ask for them.

Names to know: `PredictorCalculator`, the calculator of ASE; `EnergyModel`, what others are made of:
`metatomic.export` (files), `ipi_pes` (i-PI). Features go to metatensor and scikit-learn in
`tensor_maps` and `sklearn`. Modules that need another library are imported by who uses it.
A new engine is one file here, around `Predictor.predict` or `EnergyModel`.
"""
