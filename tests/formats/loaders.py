"""Run inside the environment of a trainer's package: loads an export as the package does, and writes what it got.

    python loaders.py PACKAGE EXPORT PROCESSOR RESULT.json

Each row: its messages as [role, content with <image> tags], the sizes of its images, and (where the package was given
the processor of a tiny model) what of its tokens is learned, as text.
"""

import json
import os
import sys
from pathlib import Path


def size_of(image):
    return [image.width, image.height]


def ms_swift(folder, processor):
    from swift.dataset import load_dataset
    from swift.template import load_image

    rows, _ = load_dataset([str(folder / "train.jsonl")], strict=True, remove_unused_columns=False)
    encode = swift_encoder(processor)
    for row in rows:
        messages = [[each["role"], each["content"]] for each in row["messages"]]
        images = [size_of(load_image(each["path"])) for each in row["images"]]
        yield {"id": row["id"], "messages": messages, "images": images, "learned": encode(row)}


def swift_encoder(processor):
    from swift.model import get_processor
    from swift.template import get_template

    template = get_template(get_processor(str(processor), model_type="qwen2_5_vl"), template_type="qwen2_5_vl")
    template.set_mode("train")

    def learned(row):
        labels = template.encode({"messages": row["messages"], "images": row["images"]})["labels"]
        return template.tokenizer.decode([each for each in labels if each != -100])

    return learned


def llamafactory(folder, processor):
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments, ModelArguments
    from PIL import Image
    from transformers import AutoProcessor, Seq2SeqTrainingArguments

    data = DataArguments(
        template="qwen2_vl", dataset="streamvl_train", dataset_dir=str(folder), media_dir=str(folder), cutoff_len=10**6
    )
    training = Seq2SeqTrainingArguments(output_dir=os.environ["HOME"], use_cpu=True)
    loaded = AutoProcessor.from_pretrained(processor)
    for name, value in {"image_max_pixels": 10**6, "image_min_pixels": 1, "crop_to_patches": False}.items():
        setattr(loaded, name, value)
    template = get_template_and_fix_tokenizer(loaded.tokenizer, data)
    arguments = ModelArguments(model_name_or_path=str(processor))
    from llamafactory.data.loader import _get_merged_dataset

    raw = _get_merged_dataset(data.dataset, arguments, data, training, "sft")
    encoded = get_dataset(template, arguments, data, training, "sft", loaded.tokenizer, loaded)["train_dataset"]
    assert len(raw) == len(encoded), f"{len(encoded)} of {len(raw)} rows were tokenized"
    for row, tokens in zip(raw, encoded, strict=True):
        messages = [["system", row["_system"]]] if row["_system"] else []
        messages += [[each["role"], each["content"]] for each in [*row["_prompt"], *row["_response"]]]
        images = [size_of(Image.open(path)) for path in row["_images"]]
        learned = loaded.tokenizer.decode([each for each in tokens["labels"] if each != -100])
        yield {"id": None, "messages": messages, "images": images, "learned": learned}


def trl(folder, processor):
    from datasets import load_dataset
    from transformers import AutoProcessor
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    collate = DataCollatorForVisionLanguageModeling(AutoProcessor.from_pretrained(processor))
    for row in load_dataset(str(folder), split="train"):
        messages = [[each["role"], parts(each["content"])] for each in row["messages"]]
        batch = collate([{"messages": row["messages"], "images": row["images"]}])
        assert len(batch["image_grid_thw"]) == len(row["images"])
        yield {"id": row["id"], "messages": messages, "images": [size_of(each) for each in row["images"]]}


def parts(content):
    return "\n".join("<image>" if part["type"] == "image" else part["text"] for part in content)


def hub(folder, processor):
    del processor
    from datasets import load_dataset

    for row in load_dataset(str(folder), split="train"):
        messages = [[each["role"], parts(each["content"])] for each in row["messages"]]
        yield {"id": row["id"], "messages": messages, "images": [size_of(each) for each in row["images"]]}


def webdataset(folder, processor):
    del processor
    import webdataset as wds

    shards = [str(path) for path in sorted(folder.glob("train-*.tar"))]
    for sample in wds.WebDataset(shards, shardshuffle=False).decode("pil"):
        row = sample["json"]
        images = [size_of(sample[name]) for name in row["images"]]
        messages = [[each["role"], each["content"]] for each in row["messages"]]
        yield {"id": sample["__key__"], "messages": messages, "images": images}


LOADERS = {"ms-swift": ms_swift, "llamafactory": llamafactory, "trl": trl, "webdataset": webdataset, "hf": hub}

if __name__ == "__main__":
    name, folder, processor = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    found = list(LOADERS[name](folder, processor))
    Path(sys.argv[4]).write_text(json.dumps(found))
