"""Every word of a configuration stands in the glossary, and none of those that it replaces."""

import re
from dataclasses import fields
from pathlib import Path

from multilode.config.config import KEYS, config_from_dict, plain_config
from multilode.config.settings import (
    CommitteeSettings,
    CurveSettings,
    DataSettings,
    ForceSettings,
)
from multilode.correlations import ContractionSettings
from multilode.expansion import FieldExpansion
from multilode.fields import CUTOFF_FUNCTIONS, FIELDS
from multilode.models import ESTIMATORS, KERNELS
from multilode.models.targets import Target
from multilode.prediction.baseline import BASELINES
from multilode.radial import RADIAL_BASES
from multilode.representation import Representation
from multilode.representation.feature_recipe import FeatureRecipe
from multilode.representation.sources.recipes import SOURCE_RECIPES

GLOSSARY = (Path(__file__).parents[3] / "docs" / "glossary.md").read_text(encoding="utf-8")
ROWS = [line.split("|")[1:-1] for line in GLOSSARY.splitlines() if line.startswith("| `")]
WORDS = {word for row in ROWS for word in re.findall(r"`(\w+)`", row[0])}
REPLACED = {word for row in ROWS for word in re.findall(r"`(\w+)`", row[2])}
TABLES = (SOURCE_RECIPES, FIELDS, RADIAL_BASES, CUTOFF_FUNCTIONS, KERNELS, ESTIMATORS, BASELINES)
SETTINGS = (DataSettings, ForceSettings, CommitteeSettings, CurveSettings, ContractionSettings)
NOT_IN_CONFIGURATIONS = {"field", "values"}


def test_every_setting_and_kind_is_in_the_glossary():
    classes = [cls for table in TABLES for cls in table.values()]
    classes += [*SETTINGS, Target, FieldExpansion]
    settings = {field.name for cls in classes for field in fields(cls) if field.init}
    kinds = {kind for table in TABLES for kind in table}
    used = settings | kinds | set(KEYS)
    assert not used - WORDS - NOT_IN_CONFIGURATIONS, "give these words a row in docs/glossary.md"
    assert not used & REPLACED, "the glossary has another word for these"


def test_the_words_of_a_complete_configuration():
    config = config_from_dict({"data": {"train": "a.xyz"}, "target": {"key": "energy"}})

    def words(plain):
        for key, value in plain.items():
            yield key
            if isinstance(value, dict):
                yield from words(value)

    plain = plain_config(config)
    names = plain.pop("fields")  # their names are free
    found = set(words(plain)) | {w for part in names.values() for w in words(part)} | {"fields"}
    assert found <= WORDS


def test_a_word_is_used_for_one_thing_in_python_too():
    names = {field.name for cls in (FeatureRecipe, Representation) for field in fields(cls)}
    assert names <= WORDS
    assert not WORDS & REPLACED


def test_the_glossary_is_in_order():
    first = [re.findall(r"`(\w+)`", row[0])[0].lower() for row in ROWS]
    assert first == sorted(first)
    assert len(first) == len(set(first))
