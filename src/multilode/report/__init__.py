"""Results for people: tables, plots and self-contained HTML.

Names to know: `Table`, `Section`, `write_report`.
Reports read results and change none.
"""
