"""The configuration: one YAML file, the environment and the flags, checked once and turned into frozen dataclasses."""

from edge_asd.config.load import Flag, LoadedConfig, load_config
from edge_asd.config.nearest import nearest
from edge_asd.config.settings import Config
from edge_asd.config.show import as_yaml

__all__ = ["Config", "Flag", "LoadedConfig", "as_yaml", "load_config", "nearest"]
