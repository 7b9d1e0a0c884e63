"""A configuration as text, as settings, and as the objects that compute; models as files.

Names to know: `load_config`, `Config`, `save`, `load`.
Whatever stands in a table can be configured under the names of the arguments of its class.
Errors name the key and what is allowed (`ConfigError`).
"""
