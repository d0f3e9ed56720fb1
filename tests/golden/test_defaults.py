"""Defaults are left out of keys, so a changed default would silently rename old results.

A failing test here means that a default changed (or a field came or went). If what is computed
changes with it, bump VERSION of that class; then update its line, with a note in CHANGELOG.md.
"""

import importlib
import inspect

import pytest

from raystudy.key import digest
from raystudy.kinds import Spec

spec_module = importlib.import_module("raystudy.spec")
SPECS = {
    name: cls
    for name, cls in inspect.getmembers(spec_module, inspect.isclass)
    if issubclass(cls, Spec) and cls.__module__ == "raystudy.spec"
}
MODULES = (
    *("adapt.ridge", "adapt.nearest_class_mean", "adapt.k_nearest", "adapt.head2toe"),
    *("adapt.linear_probe", "adapt.finetune", "adapt.zero_shot"),
    *("methods.supervised", "methods.clip", "methods.simclr", "methods.robust"),
    *(
        "sources.glyphs",
        "sources.webdataset",
        "sources.captioned",
        "sources.curated",
        "sources.labelled",
        "sources.mixture",
        "sources.image_folder",
        "sources.parquet_images",
        "sources.caption_table",
        "sources.imagenet",
        "sources.imagenet_captions",
        "sources.cc3m",
        "sources.cc12m",
        "sources.laion400m",
        "sources.laion2b",
        "sources.yfcc15m",
        "sources.redcaps",
        "sources.wit",
        "sources.shutterstock",
        "tasks.digits",
        "tasks.caltech101",
        "tasks.camera_traps",
        "tasks.cassava",
        "tasks.cifar100",
        "tasks.domain_net",
        "tasks.dtd",
        "tasks.euro_sat",
        "tasks.pets",
        "tasks.flowers102",
        "tasks.svhn",
        "tasks.sun397",
        "tasks.resisc45",
        "tasks.vtab",
    ),
    *("noise.symmetric", "noise.pair", "noise.transition", "noise.class_conditional"),
    *("noise.instance_dependent", "noise.shuffled_captions", "noise.dropped_words"),
    *("noise.typos", "noise.template_captions"),
    *(
        "adapt.wise_ft",
        "tasks.glyph_script",
        "tasks.glyph_letter",
        "tasks.glyph_typeface",
        "tasks.glyph_style",
        "tasks.glyph_count",
        "tasks.glyph_position",
        "tasks.glyph_orientation",
        "tasks.glyph_size",
        "tasks.glyph_domains",
        "tasks.corrupted",
        "tasks.pacs",
        "tasks.office_home",
        "tasks.vlcs",
        "tasks.terra_incognita",
        "tasks.domain_net_held_out",
        "tasks.camelyon17",
        "tasks.imagenet1k",
        "tasks.cifar10",
    ),
    *("metrics.brier", "metrics.ece", "metrics.smooth_ece", "metrics.classwise_ece"),
    *("metrics.aurc", "metrics.augrc", "metrics.ood_auroc", "metrics.ood_fpr95"),
    *("metrics.accuracy", "metrics.nll", "metrics.mean_per_class", "metrics.temperature_scaled"),
    *("laws.power", "laws.pure_power", "laws.shifted_power", "laws.bounded_power", "laws.broken"),
    *("laws.chinchilla", "laws.repeated_data", "laws.quality_quantity", "laws.noisy_size"),
    *("laws.fine_tuning", "laws.effective_data", "laws.transfer_gap", "laws.data_mixing"),
    *("laws.piecewise_power", "laws.probit_line", "imported"),
    *("decoder", "tokenisers.bytes", "tokenisers.byte_pairs", "sources.text"),
    *("sources.text_files", "methods.next_token", "tasks.python_code"),
    *("adapt.fine_tune_decoder", "metrics.token_loss"),
)
for module in MODULES:
    found = importlib.import_module(f"raystudy.{module}")
    for name, cls in inspect.getmembers(found, inspect.isclass):
        if issubclass(cls, Spec) and cls.__module__ == found.__name__:
            SPECS[name] = cls


def defaults(cls: type[Spec]) -> str:
    fields = {
        name: repr(field.get_default(call_default_factory=True))
        for name, field in cls.model_fields.items()
        if not field.is_required()
    }
    return digest([cls.VERSION, fields])[:8]


@pytest.mark.parametrize("name", sorted(SPECS))
def test_defaults(name: str) -> None:
    assert defaults(SPECS[name]) == GOLDEN[name]


GOLDEN = {
    "Architecture": "044d5200",
    "Augmentation": "b400dbcc",
    "Budget": "b7fa0d2a",
    "CC12M": "82ad4ec8",
    "CC3M": "82ad4ec8",
    "CLIP": "105e2e6c",
    "CaptionTable": "82ad4ec8",
    "Captioned": "9b148cac",
    "Cell": "4e378f27",
    "ClassConditional": "98c7284f",
    "Curated": "2f418e30",
    "Digits": "85f11eb2",
    "DroppedWords": "24ff9c10",
    "FineTune": "c829183a",
    "GCE": "ff0b8b02",
    "GlyphCount": "2b0a605d",
    "GlyphLetter": "2b0a605d",
    "GlyphOrientation": "2b0a605d",
    "GlyphPosition": "2b0a605d",
    "GlyphScript": "2b0a605d",
    "GlyphSize": "2b0a605d",
    "GlyphStyle": "2b0a605d",
    "GlyphTypeface": "2b0a605d",
    "Glyphs": "4b49e27f",
    "Grid": "7040a701",
    "ImageFolder": "82ad4ec8",
    "ImageNet": "3ba3c01f",
    "ImageNetCaptions": "7ae7d243",
    "Imported": "ee400434",
    "Initialisation": "31b64fe5",
    "InstanceDependent": "6892a6e5",
    "LAION2B": "82ad4ec8",
    "LAION400M": "82ad4ec8",
    "Labelled": "088ac52d",
    "Ridge": "a5d45c23",
    "Vtab": "fea67b72",
    "Flowers102": "fea67b72",
    "CameraTraps": "fea67b72",
    "Sun397": "77cdecd2",
    "DTD": "c60d4fe5",
    "SVHN": "85f11eb2",
    "Resisc45": "85f11eb2",
    "Pets": "85f11eb2",
    "EuroSAT": "85f11eb2",
    "DomainNet": "85f11eb2",
    "Cassava": "85f11eb2",
    "Caltech101": "85f11eb2",
    "CIFAR10": "89186022",
    "CIFAR100": "89186022",
    "Camelyon17": "fea67b72",
    "Corrupted": "20bf410d",
    "DomainNetHeldOut": "85f11eb2",
    "GlyphDomains": "cea2b56b",
    "ImageNet1k": "6f120d42",
    "OfficeHome": "85f11eb2",
    "PACS": "85f11eb2",
    "TerraIncognita": "85f11eb2",
    "VLCS": "85f11eb2",
    "NearestClassMean": "a09da012",
    "KNearest": "bce19b42",
    "Head2Toe": "cc32c13a",
    "LinearProbe": "8e45f335",
    "Mixture": "aa0405db",
    "Optimisation": "f6f242e8",
    "Pair": "fea67b72",
    "ParquetImages": "3ba3c01f",
    "Preprocessing": "c267d36d",
    "Pretraining": "9ad4d594",
    "Published": "8f0099c2",
    "RedCaps": "82ad4ec8",
    "SCE": "a0065d42",
    "ShuffledCaptions": "fea67b72",
    "Shutterstock": "82ad4ec8",
    "SimCLR": "ebfe1a5e",
    "Study": "35c4fde5",
    "Supervised": "d6a95f1f",
    "Symmetric": "fea67b72",
    "TemplateCaptions": "da88b25f",
    "Transition": "9b6e5af7",
    "Trunk": "9ad4d594",
    "Typos": "6bdea06b",
    "WIT": "82ad4ec8",
    "WebDataset": "7b9270ac",
    "WiseFt": "15ff728c",
    "YFCC15M": "82ad4ec8",
    "OffsetPower": "8c1764de",
    "Power": "fea67b72",
    "ShiftedPower": "fea67b72",
    "BoundedPower": "867af1a9",
    "Broken": "9fe9daed",
    "Chinchilla": "fea67b72",
    "RepeatedData": "fea67b72",
    "QualityQuantity": "fea67b72",
    "NoisySize": "fea67b72",
    "FineTuning": "fea67b72",
    "EffectiveData": "fea67b72",
    "TransferGap": "fea67b72",
    "DataMixing": "eccc800c",
    "PiecewisePower": "fea67b72",
    "ProbitLine": "fea67b72",
    "ZeroShot": "d9054179",
    "Accuracy": "fea67b72",
    "MeanPerClass": "fea67b72",
    "NegativeLogLikelihood": "fea67b72",
    "Brier": "fea67b72",
    "ECE": "afd1d3a9",
    "SmoothECE": "fea67b72",
    "ClasswiseECE": "5a4f07b4",
    "AURC": "fea67b72",
    "AUGRC": "fea67b72",
    "OODAUROC": "0704317f",
    "OODFPR95": "0704317f",
    "TemperatureScaled": "fea67b72",
    "Decoder": "36fb09fa",
    "Bytes": "fea67b72",
    "BytePairs": "cef99aea",
    "Text": "10a0e8f6",
    "TextFiles": "085c41d3",
    "NextToken": "fea67b72",
    "PythonCode": "82c641f1",
    "FineTuneDecoder": "23fbcf4e",
    "TokenLoss": "fea67b72",
}
