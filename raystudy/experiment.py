"""Experiments are Python: find ``study`` in a file and call it with typed, checked options."""

import difflib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_type_hints

from pydantic import TypeAdapter, ValidationError

from raystudy.spec import STUDY_FILE, Study


class ExperimentError(ValueError):
    """One clear line about what is wrong with an experiment file or its options."""


@dataclass(frozen=True)
class Option:
    """A keyword argument of ``study``, as an option of the command line."""

    name: str
    annotation: Any
    default: Any

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def type_name(self) -> str:
        plain = inspect.formatannotation(self.annotation)
        return plain.replace("typing.", "")


@dataclass(frozen=True)
class Experiment:
    path: Path
    function: Callable[..., Study]
    options: tuple[Option, ...]

    def study(self, arguments: Sequence[str] = ()) -> Study:
        """``study`` called with ``--name value`` or ``--name=value``. Raises ExperimentError."""
        values = self._parse(arguments)
        try:
            study = self.function(**values)
        except ValidationError as error:
            raise ExperimentError(f"{self.path}: {one_line(error)}") from error
        except NameError as error:
            near = difflib.get_close_matches(error.name or "", self.function.__globals__, 1)
            hint = f"; did you mean: '{near[0]}'?" if near else ""
            raise ExperimentError(f"{self.path}: {error}{hint}") from error
        except (ValueError, TypeError) as error:
            raise ExperimentError(f"{self.path}: {error}") from error
        if not isinstance(study, Study):
            raise ExperimentError(
                f"{self.path}: study() returned a {type(study).__name__}, not a Study"
            )
        return study

    def _parse(self, arguments: Sequence[str]) -> dict[str, Any]:
        known = {option.flag: option for option in self.options}
        values: dict[str, Any] = {}
        rest = list(arguments)
        while rest:
            flag, equals, value = rest.pop(0).partition("=")
            if flag not in known:
                near = difflib.get_close_matches(flag, known, 1)
                hint = f"did you mean {near[0]}?" if near else f"options: {', '.join(known)}"
                raise ExperimentError(f"{self.path}: no option {flag}; {hint}")
            if not equals:
                if not rest:
                    raise ExperimentError(f"{self.path}: {flag} needs a value")
                value = rest.pop(0)
            option = known[flag]
            try:
                values[option.name] = TypeAdapter(option.annotation).validate_python(value)
            except ValidationError as error:
                reason = error.errors()[0]["msg"]
                raise ExperimentError(
                    f"{self.path}: {flag}={value!r}: {reason} ({option.type_name})"
                ) from error
        return values


def load(path: str | Path) -> Experiment:
    """Import an experiment file and read the options of its ``study``. Raises ExperimentError."""
    path = Path(path)
    if not path.is_file():
        raise ExperimentError(f"{path}: no such file; name an experiment, e.g. experiments/*.py")
    name = f"{STUDY_FILE}{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ExperimentError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except ValidationError as error:
        raise ExperimentError(f"{path}: {one_line(error)}") from error
    except (ImportError, SyntaxError, NameError) as error:
        raise ExperimentError(f"{path}: {error}{_nearest_class(error)}") from error
    function = getattr(module, "study", None)
    if not callable(function):
        raise ExperimentError(f"{path}: defines no function study(...) -> Study")
    hints = get_type_hints(function)
    options = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.default is inspect.Parameter.empty:
            raise ExperimentError(
                f"{path}: study({parameter.name}) has no default; every option needs one"
            )
        annotation = hints.get(parameter.name, type(parameter.default))
        options.append(Option(parameter.name, annotation, parameter.default))
    return Experiment(path, cast(Callable[..., Study], function), tuple(options))


def one_line(error: ValidationError) -> str:
    """The first complaint, with the field it is about."""
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    place = ".".join(str(p) for p in first["loc"])
    if not place:
        return message
    given = f" (given {first['input']!r})" if isinstance(first["input"], str | int | float) else ""
    return f"{error.title}.{place}: {message}{given}"


def _nearest_class(error: Exception) -> str:
    """For a misspelt class in an import: the nearest name that its module has."""
    module = sys.modules.get(getattr(error, "name", None) or "")
    words = str(error).split("'")
    if module is None or len(words) < 2:
        return ""
    near = difflib.get_close_matches(words[1], dir(module), 1)
    return f"; did you mean '{near[0]}'?" if near and "did you mean" not in str(error) else ""
