"""The manifest: every file of a package is held against it, and every field of it is read strictly."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.manifest import SETTINGS_FILE, check_package, read_manifest
from models.package import load_package
from tests.models.packages import edit, refused


def test_a_missing_file_is_named(package):
    for name in ("config.json", "README.md", "LICENSE", "tokenizer.json", "model.safetensors"):
        (package / name).rename(package / "aside")
        refused(package, str(package / name), "missing")
        (package / "aside").rename(package / name)
    assert load_package(package)


# Named here, the checks of the profile no longer hold: how long drawing takes is said again.
@settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(st.data())
def test_any_altered_or_torn_file_is_found(package, data):
    manifest = read_manifest(package)
    entry = data.draw(st.sampled_from(manifest.files))
    path = package / entry.name
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    torn = data.draw(st.booleans())
    changed = whole[:at] if torn else whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    path.write_bytes(changed)
    problems = {check.name: check.problem for check in check_package(package, manifest, verify=True)}
    quick = {check.name: check.problem for check in check_package(package, manifest, verify=False)}
    path.write_bytes(whole)
    assert [name for name, problem in problems.items() if problem] == [entry.name]
    assert str(path) in problems[entry.name]
    # Without hashing, only changes inside the tensors themselves pass.
    if torn or not entry.is_weights:
        assert quick[entry.name]


def test_weights_are_hashed_only_when_asked(package):
    path = package / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert load_package(package)
    refused(package, "model.safetensors", "SHA-256", verify=True)
    content[10] ^= 1
    path.write_bytes(content)
    refused(package, "model.safetensors", "its header does not describe")
    path.write_bytes(b"\xff" * len(content))
    refused(package, "model.safetensors", "its header does not describe")


@pytest.mark.parametrize("name", ["adapter_config.json", "model-00001.safetensors", "modeling.py", "pytorch_model.bin"])
def test_a_file_that_a_loader_would_read_is_refused(package, name):
    (package / name).write_text("{}")
    refused(package, name, "remove it")


def test_a_link_to_nowhere_that_a_loader_would_read_is_refused(package):
    (package / "x.json").symlink_to("/no/such/file")
    refused(package, "x.json", "remove it")


def test_a_file_that_cannot_be_read_is_told(package, monkeypatch):
    opened = Path.open

    def deny(path, *rest, **named):
        if path.name == "LICENSE":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *rest, **named)

    monkeypatch.setattr(Path, "open", deny)
    refused(package, "LICENSE: cannot be read", "Permission denied", "check its permissions")


def test_a_file_that_no_loader_reads_is_left_alone(package):
    (package / ".gitattributes").write_text("x")
    (package / "picture.png").write_text("x")
    assert load_package(package)


CHANGES = [
    (lambda v: v.update(format="other"), ("field format", "belongs to something else")),
    (lambda v: v.update(format_version="2.0"), ("format_version is 2.0", "streamvl 0.1.0", "expected 1.x")),
    (lambda v: v.update(format_version="2.0", libraries=None), ("of an unstated version",)),
    (lambda v: v.update(format_version=1), ("format_version is 1, expected such as 1.0",)),
    (lambda v: v.update(format_version="9" * 5000 + ".0"), ("field format_version", "expected such as 1.0")),
    (lambda v: v.update(format_version="\u0661.\u0660"), ("field format_version", "expected such as 1.0")),
    (lambda v: v["files"][0].update(name="a" * 256), ("field files[0].name", "plain name")),
    (lambda v: v["files"][0].update(name="\u00e9" * 128), ("field files[0].name", "plain name")),
    (lambda v: v["files"][0].update(name="a" * 5000), ("field files[0].name", "plain name")),
    (lambda v: v.update(family="qwen9"), ("field family is 'qwen9'", "expected one of qwen2_5_vl")),
    (lambda v: v.update(family="qwen3_vl", processor="Qwen3VLProcessor"), ("config.json", "found a model of family")),
    (lambda v: v.update(processor="Qwen3VLProcessor"), ("field processor", "expected Qwen2_5_VLProcessor")),
    (lambda v: v.update(processor=3), ("field processor is 3",)),
    (lambda v: v.update(colour=1), ("unknown fields ['colour']",)),
    (lambda v: v.pop("card"), ("missing fields ['card']",)),
    (lambda v: v["settings"].update(slotz=1), ("field settings", "unknown field slotz")),
    (lambda v: v["settings"].update(slots="many"), ("field settings", "setting slots is 'many'")),
    (lambda v: v["settings"]["memory_settings"].update(last="x"), ("field settings", "last is 'x'")),
    (lambda v: v["card"].update(license=""), ("field card", "license is ''")),
    (lambda v: v["card"]["provenance"].update(steps=-1), ("field card", "steps is -1")),
    (lambda v: v.update(libraries=[]), ("field libraries is a list",)),
    (lambda v: v.update(files={}), ("field files is a dict",)),
    (lambda v: v["files"].append(1), ("is 1, expected an object",)),
    (lambda v: v["files"].append(v["files"][0]), ("each once",)),
    (lambda v: v["files"][0].update(name="../../etc/passwd"), ("field files[0].name", "plain name")),
    (lambda v: v["files"][0].update(size=-1), ("field files[0].size is -1",)),
    (lambda v: v["files"][0].update(mode=1), ("field files[0]", "unknown fields ['mode']")),
    (lambda v: v.update(files=[f for f in v["files"] if f["name"] != "LICENSE"]), ("lacks LICENSE",)),
    (lambda v: v.update(files=[f for f in v["files"] if "safe" not in f["name"]]), ("lacks *.safetensors",)),
]


@pytest.mark.parametrize(("change", "told"), CHANGES, ids=lambda part: part[0] if isinstance(part, tuple) else "")
def test_a_wrong_manifest_is_refused_by_its_field(package, change, told):
    edit(package, change)
    message = refused(package, *told)
    assert str(package) in message


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": "streamvl-package"'])
def test_a_manifest_that_is_no_json_is_refused(package, text):
    (package / SETTINGS_FILE).write_text(text)
    refused(package, SETTINGS_FILE)


def test_places_that_hold_no_package(tmp_path, package):
    refused(tmp_path / "none", "found nothing, expected a package folder")
    refused(package / "LICENSE", "found a file, expected a package folder")
    (package / SETTINGS_FILE).unlink()
    refused(package, "load_base")


def test_a_newer_minor_version_of_known_fields_loads(package):
    edit(package, lambda value: value.update(format_version="1.9"))
    assert load_package(package)
