"""What holds for every variant of every kind."""

import inspect
import pickle
import re

import pytest
from pydantic import ValidationError

from raystudy.kinds import Spec

from .variants import KINDS, example, modules, variants, variants_in


@pytest.mark.parametrize("folder", KINDS)
def test_a_folder_holds_variants_of_its_kind(folder: str) -> None:
    assert variants(folder)


@pytest.mark.parametrize("folder", KINDS)
def test_a_file_holds_one_variant_and_its_name(folder: str) -> None:
    for module in modules(folder):
        classes = variants_in(module, KINDS[folder])
        assert len(classes) <= 1
        for cls in classes:
            if folder in ("laws", "claims", "metrics"):  # named for the idea, not the class
                continue
            stem = module.__name__.rsplit(".", 1)[1].replace("_", "")
            assert cls.__name__.lower() == stem


@pytest.mark.parametrize("cls", variants(), ids=lambda c: c.__name__)
class TestVariant:
    def test_is_a_frozen_value(self, cls: type[Spec]) -> None:
        spec = example(cls)
        assert spec == example(cls)
        assert hash(spec) == hash(example(cls))
        name = next(iter(cls.model_fields), None)
        if name:
            with pytest.raises(ValidationError):
                setattr(spec, name, getattr(spec, name))

    def test_has_a_key_that_survives_pickling(self, cls: type[Spec]) -> None:
        spec = example(cls)
        assert re.fullmatch(r"[0-9a-f]{20}", spec.key)
        assert pickle.loads(pickle.dumps(spec)).key == spec.key

    def test_refuses_an_unknown_field_by_name(self, cls: type[Spec]) -> None:
        with pytest.raises(ValidationError, match="has no field 'colour'"):
            cls(**(example(cls).model_dump() | {"colour": 1}))

    def test_overrides_no_concrete_method(self, cls: type[Spec]) -> None:
        """Abstract or final: variants derive from their kind and from nothing below it."""
        assert cls.__mro__[1].__module__ == "raystudy.kinds"
        assert inspect.isabstract(cls.__mro__[1])

    def test_is_documented(self, cls: type[Spec]) -> None:
        assert cls.__doc__
        assert cls.__doc__ != cls.__mro__[1].__doc__
