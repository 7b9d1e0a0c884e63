"""Networks on the fields of structures, trained epoch by epoch on energies and forces.

Names to know: `Network` (settings), `fit_network`, `NetworkModel`, `FieldNetwork`.
Channels are learned mixtures of element and radial function; their invariants give energies of
atoms, and charges and dipoles that make the fields of the next round.
"""
