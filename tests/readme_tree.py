"""Print the project's tree, one line per file, as the README shows it: `python -m tests.readme_tree [--write]`."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- tree: python -m tests.readme_tree --write -->", "<!-- end of tree -->"
ABOUT = {
    ".ci/run": "what CI runs on a clean checkout: checks, tests, the rounds",
    ".gitignore": "what git leaves alone",
    "LICENSE": "Apache-2.0",
    "Makefile": "the product on one page; `make` prints its targets",
    "README.md": "this page",
    "constraints.txt": "exact versions of everything that is installed",
    "pyproject.toml": "dependencies, packages, and every tool's settings",
    "datasets_build/configs/default.yaml": "a config to copy: every section, every default",
    "datasets_build/configs/demo.yaml": "the config of `make demo`",
    "datasets_build/configs/lessons.yaml": "the config of `make lessons`: drawn videos to learn from, from nothing",
    "datasets_build/core/card.md": "template of a dataset card",
    "datasets_build/formats/card.md": "template of an export's card",
    "annotate/report/page.css": "how the round's page looks",
    "annotate/report/page.html": "the round's page, a template",
    "annotate/requirements-sdk.txt": "the client library of Label Studio, for the project's environment",
    "annotate/requirements-server.txt": "the whole environment of Label Studio",
    "annotate/screens/dialogue.xml": "the screen for dialogues, a template",
    "annotate/screens/events.xml": "the screen for events, a template",
    "annotate/screens/qa.xml": "the screen for questions, a template",
    "datasets_build/report/page.css": "the report's looks, light and dark",
    "datasets_build/report/page.html": "the report's page, a Jinja template",
    "datasets_build/report/page.js": "the report's list of videos, details and filter",
    "datasets_build/report/timeline.js": "the report's timeline: drawing, seeking, following the video",
    "datasets_build/teachers/faithful.yaml": "words that decide whether two sentences say the same",
    "datasets_build/teachers/prompts/describe.md": "what a model is asked about the pictures of a shot, a template",
    "datasets_build/teachers/prompts/reword.md": "what a model is asked about a sentence, a template",
    "datasets_build/teachers/template.yaml": "phrasings per intent",
    "datasets_build/teachers/template_zh.yaml": "phrasings per intent, in Chinese",
    "datasets_build/teachers/terse.yaml": "the fewest words per intent",
    "recipes/accelerate/cpu.yaml": "one process on a CPU",
    "recipes/accelerate/cpu2.yaml": "two processes on a CPU",
    "recipes/accelerate/ddp.yaml": "GPUs of one machine, each with the whole model",
    "recipes/accelerate/fsdp2.yaml": "GPUs of one machine, weights in shards (FSDP2)",
    "recipes/accelerate/gpu1.yaml": "one GPU",
    "recipes/accelerate/multi_node.yaml": "several machines",
    "recipes/accelerate/zero2.yaml": "DeepSpeed, gradients and optimizer in shards",
    "recipes/accelerate/zero3.yaml": "DeepSpeed, weights in shards too",
    "recipes/configs/demo.yaml": "the recipe of `make demo`",
    "recipes/configs/qwen2_5_omni_7b.yaml": "Qwen2.5-Omni-7B, its thinker",
    "recipes/configs/qwen2_5_vl_3b.yaml": "Qwen2.5-VL-3B",
    "recipes/configs/qwen2_5_vl_7b.yaml": "Qwen2.5-VL-7B",
    "recipes/configs/qwen3_vl_4b.yaml": "Qwen3-VL-4B",
    "recipes/configs/tiny.yaml": "a Qwen2.5-VL of 2 million parameters from nothing, on drawn lessons",
    "recipes/configs/tiny_qwen3_vl.yaml": "the same with the architecture of Qwen3-VL",
    "docs/keyframes.md": "which frames become keyframes, and how many events they cover",
    "docs/keyframes.svg": "the curve of events covered against embeddings spent",
    "docs/perception.md": "kinds and spans of transitions, the events that are made of them, scenes",
    "datasets_build/perception/weights/transitions.npz": "the weights of the learned shot detector",
    "datasets_build/perception/weights/tiny_clip/figures.json": "what the tiny CLIP has learned, measured",
    "datasets_build/perception/weights/tiny_clip/open_clip_config.json": "the tiny CLIP's architecture, for open_clip",
    "datasets_build/perception/weights/tiny_clip/open_clip_model.safetensors": "its weights: drawn shapes only",
    "datasets_build/perception/weights/tiny_clip/tokenizer.json": "its words",
    "datasets_build/perception/weights/tiny_clip/tokenizer_config.json": "how transformers reads its words",
    "docs/clip.md": "CLIP: which models, batches, precisions, what a record tells, and the tiny one of drawn shapes",
    "docs/cluster.md": "index and perceive on a Ray cluster: how to start, what is demanded, what happens on faults",
    "docs/checks.md": "what `check` proves: time, causality, truth, leaks; what a failure means",
    "docs/annotation.md": "rounds of human work: servers, screens, rounds, what stands, what is merged",
    "docs/augmentation.md": "every operation of augmentation, with a picture; what it keeps and what it drops",
    "docs/formats_streaming.md": "streaming formats, benchmarks and subtitles: import, export, what each loses",
    "docs/rendering.md": "augmented videos as files: what is exact, and how fast",
    "docs/recipes.md": "the three stages: data, losses, resuming, preflight, evaluation, logs",
    "docs/results.md": "what each stage and loss bought on drawn lessons, over seeds",
    "models/model_card.md.j2": "template of a package's model card",
    "tests/models/golden_positions.json": "positions by the published rule, written out",
    "docs/formats.md": "every format of `export`, what it holds, what it loses, and the traps of the trainers",
    "docs/layouts.md": "positions and visibility of every layout, with pictures of the masks",
    "docs/sources.md": "annotation files of the field: what becomes of each row, and which video is meant",
    "docs/tasks.md": "the tasks of streaming questions: an example of each, what it needs, why it is causal; shares",
    "docs/streaming.md": "what a session can do, and where it differs from transformers",
    "docs/teachers.md": "models that write the words: what they may say, what it costs, what is told of it",
    "docs/words.md": "what the teachers without a model say, in English and in Chinese",
    "docs/decoders.md": "which decoder reads which file, measured",
    "docs/dialogue.md": "what people and the assistant do in a dialogue, style by style; states, latency, checks",
    "docs/shots.md": "how shot boundaries are found and scored: the detector, the rules, the files, the figures",
    "docs/performance.md": "speed, memory and set-up, measured, with the commands",
}


def tracked() -> list[str]:
    """Files of the project, sorted: what git tracks, plus what it would."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted({name for name in names if (ROOT / name).is_file()})


def about(name: str) -> str:
    """One line on a file: from the table above, or the first line of its docstring."""
    path = ROOT / name
    if name in ABOUT:
        return ABOUT[name]
    if name.endswith(".py"):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        if text:
            return text.splitlines()[0].rstrip(".")
        if PurePosixPath(name).name == "conftest.py":
            return "fixtures of this folder's tests"
        if PurePosixPath(name).name.startswith("test_"):
            module = PurePosixPath(name).stem.removeprefix("test_")
            return f"tests of {module.replace('_', ' ')}"
    if name.endswith(".yaml"):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        if first.startswith("# "):
            return first.removeprefix("# ").rstrip(".")
    if name.startswith("docs/") and name.endswith(".png"):
        return f"what {path.stem.replace('_', ' ')} does to a clip, before and after"
    raise SystemExit(f"{name}: no docstring and no line in ABOUT of tests/readme_tree.py")


def tree() -> str:
    """The whole listing as a fenced block."""
    lines, shown = [], set()
    for name in tracked():
        *folders, leaf = PurePosixPath(name).parts
        for depth in range(len(folders)):
            folder = "/".join(folders[: depth + 1])
            if folder not in shown:
                shown.add(folder)
                lines.append("  " * depth + folders[depth] + "/")
        lines.append(("  " * len(folders) + leaf).ljust(34) + " " + about(name))
    return "\n".join(["```", *(line.rstrip() for line in lines), "```"])


def readme_with_tree(text: str) -> str:
    """The README with its tree brought up to date."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{tree()}\n{END}{tail}"


if __name__ == "__main__":
    if "--write" in sys.argv:
        readme = ROOT / "README.md"
        readme.write_text(readme_with_tree(readme.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(tree())
