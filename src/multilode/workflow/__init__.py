"""Training runs, learning curves and searches of a configuration, from files to results.

Names to know: `load_sets`, `run_training`, `run_learning_curve`, `tune`.
Nothing here prints; progress is reported to the stage that the caller gives.
What a configuration asks for besides is one more function of the built `Config`.
"""
