"""Committees: a method fitted to random parts of the rows; the spread, calibrated, is an error bar.

Names to know: `Committee` (of any estimator), `CommitteeModel`, `Calibration`.
Members are columns of one model, so features and kernels are computed once.
"""
