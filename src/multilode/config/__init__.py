"""A configuration as text and as the objects that compute; values as plain data; models as files.

Names to know: `load_config`, `Config`; `encode`, `decode`, `register`; `save`, `load`.
Whatever stands in a table can be configured, saved and loaded under the names of the arguments of
its class: a class of the user after one row in the table, a new table after one `register`.
Errors name the dotted key, what is allowed and what to do (`ConfigError`, `CodecError`).
"""

from multilode.config.codec import decode, encode
from multilode.config.config import Config, config_from_dict, load_config
from multilode.config.errors import ConfigError
from multilode.config.store import load, save

__all__ = [
    "Config",
    "ConfigError",
    "config_from_dict",
    "decode",
    "encode",
    "load",
    "load_config",
    "save",
]
