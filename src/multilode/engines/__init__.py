"""Models inside of other programs: E, F = -dE/dr and the stress, where these ask for them.

Names to know: `PredictorCalculator` and `TensorCalculator` of ASE, `lammps.attach`,
`openmm.add_force`; `EnergyModel`, what `metatomic.export` (files) and `ipi_pes` (i-PI) are made of.
Features go to metatensor and scikit-learn in `tensor_maps` and `sklearn`. Programs and libraries
are imported when they are first needed. A new engine is one file here, around
`evaluation.evaluate`, which takes arrays, or `EnergyModel`.
"""
