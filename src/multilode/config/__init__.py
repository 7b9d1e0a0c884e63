"""A configuration as text, as settings, and as the objects that compute; models as files.

Names to know: `load_config`, `Config`, `save`, `load`.
Whatever stands in a table can be configured under the names of the arguments of its class.
Errors name the key and what is allowed (`ConfigError`).
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
