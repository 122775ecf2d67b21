"""Exports in the packages that they are for: an environment for each, its own loader, and what came out compared.

    python -m tests.formats.real_packages FOLDER [PACKAGE ...]

FOLDER is where environments are made and kept. Each sees the packages of this one (torch is large), so that pip
installs what differs. Needs a package index; about 1 GB and some minutes for all.
"""

import io
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from PIL import Image

from datasets_build.formats.export import export
from datasets_build.formats.format import Options
from datasets_build.formats.rows import ROWS
from datasets_build.formats.samples import IMAGE
from models.tiny import tiny_config, tiny_processor
from tests.augment.folders import finished

PACKAGES = {
    "ms-swift": ("ms-swift==4.6.0", "qwen_vl_utils"),
    "llamafactory": ("llamafactory==0.9.5",),
    "trl": ("trl==1.16.0",),
    "webdataset": ("webdataset==1.0.2",),
}
LOADERS = Path(__file__).with_name("loaders.py")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}"
)


def environment(folder, name, packages):
    """The interpreter of an environment with some packages beside ours, made where there is none."""
    home = folder / name
    python = home / "bin" / "python"
    if not (home / "made").exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        site = subprocess.run(
            [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True, capture_output=True, text=True,
        ).stdout.strip()  # fmt: skip
        (Path(site) / "base.pth").write_text(sysconfig.get_path("purelib") + "\n")
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
        (home / "made").touch()
    return python


def processor(folder):
    """The processor of a tiny model, which packages take for that of a Qwen2.5-VL."""
    tiny = tiny_processor("qwen2_5_vl")
    tiny.chat_template = tiny.tokenizer.chat_template = TEMPLATE
    tiny.save_pretrained(folder)
    tiny_config("qwen2_5_vl").save_pretrained(folder)
    return folder


def loaded(python, name, exported, scratch):
    """What a package's own loader gives of an export: rows of `loaders.py`."""
    result = scratch / f"{name}.json"
    home = scratch / "home"
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        [str(python), str(LOADERS), name, str(exported), str(processor(scratch / "processor")), str(result)],
        env={
            "PATH": os.environ["PATH"], "HOME": str(home), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1",
            "ROOT_IMAGE_DIR": str(exported), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
        },
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, f"{name}: {done.stderr[-3000:]}"
    return json.loads(result.read_text())


def learned_by(name, row, raw):
    """The words of a row that should be in the loss of a package, in their order."""
    spoken = [said.content for said in row.messages if said.role == "assistant"]
    if name != "ms-swift":
        return spoken
    marks = [each["loss"] for each in raw["messages"] if each["role"] == "assistant"]
    return [content for content, learn in zip(spoken, marks, strict=True) if learn]


def differences(name, exported, found):
    """What a package has otherwise than the files; nothing where it is right."""
    rows = list(ROWS[name](exported, "train"))
    raws = (
        [json.loads(line) for line in (exported / "train.jsonl").read_text().splitlines()]
        if found[0].get("learned")
        else [None] * len(rows)
    )
    if len(rows) != len(found):
        return [f"{len(found)} rows, expected {len(rows)}"]
    wrong = []
    for row, got, raw in zip(rows, found, raws, strict=True):
        sizes = [list(Image.open(io.BytesIO(content)).size) for content in row.images]
        if got["id"] not in (None, row.id):
            wrong.append(f"{row.id}: id {got['id']}")
        if [[said.role, said.content] for said in row.messages] != got["messages"]:
            wrong.append(f"{row.id}: other messages")
        if got["images"] != sizes or len(sizes) != sum(said.content.count(IMAGE) for said in row.messages):
            wrong.append(f"{row.id}: {len(got['images'])} images of other sizes or number than {len(sizes)}")
        if raw is not None:
            words = [part.strip("\n") for part in got["learned"].split("<|im_end|>") if part.strip("\n")]
            if words != learned_by(name, row, raw):
                wrong.append(f"{row.id}: learns {words}")
    return wrong


def compare(name, envs, out, scratch):
    """Differences over the datasets and layouts of an export in a package; how many rows were compared."""
    python, wrong, count = environment(envs, name, PACKAGES[name]), [], 0
    for dataset, layout in (("dialogue", "steps"), ("streaming_qa", "turns"), ("frame_events", "turns")):
        to = scratch / f"{name}-{dataset}"
        export(out / dataset, name, to, Options(fps="1", layout=layout))
        found = loaded(python, name, to, scratch)
        count += len(found)
        wrong += [f"{name}, {dataset}: {each}" for each in differences(name, to, found)]
    return wrong, count


def main(folder, names):
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        out = finished(scratch / "out", seconds=6)
        broken = 0
        for package in names or PACKAGES:
            wrong, count = compare(package, folder, out, scratch)
            print(f"{package}: {count} rows, {len(wrong)} differences", *wrong, sep="\n  ")
            broken += len(wrong)
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
