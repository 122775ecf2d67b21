"""A vision-language model in this process, by transformers: a folder or a name on the hub."""

from __future__ import annotations

import hashlib
import io
import threading
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from datasets_build.teachers.model import Ask, Completion, ModelError
from datasets_build.teachers.settings import LocalConfig

_SMALL = 2**20


class LocalModel:
    """Weights in this process. They are loaded when the first question comes, and take one at a time."""

    kind = "local"
    parallel = 1

    def __init__(self, config: LocalConfig) -> None:
        if not config.model:
            raise ModelError("teachers.local.model: is empty, expected a folder or a hub name")
        self._config = config
        self._closed = threading.Event()

    @property
    def name(self) -> str:
        """The folder's last part, or the hub name."""
        return Path(self._config.model).name if Path(self._config.model).is_dir() else self._config.model

    @cached_property
    def revision(self) -> str:
        """As the settings say; a folder's is a digest over its files."""
        folder = Path(self._config.model)
        return self._config.revision or (_folder_digest(folder) if folder.is_dir() else "")

    @property
    def digest(self) -> str:
        """Weights, numbers and sampling."""
        config = self._config
        sampled = f"temperature {config.temperature} tokens {config.max_tokens} {config.dtype}"
        return f"local {self.name}@{self.revision} {sampled}"

    def stop(self) -> None:
        """Take no more questions."""
        self._closed.set()

    def close(self) -> None:
        """Forget the weights."""
        self.__dict__.pop("_loaded", None)

    def complete(self, ask: Ask, *, attempt: int) -> Completion:
        """Generate an answer: the same for the same question, attempt and machine.

        Raises:
            ModelError: the weights cannot be loaded, take no pictures, or run out of memory.
        """
        import torch

        if self._closed.is_set():
            raise ModelError("the build stops, so nothing more is asked")
        processor, model, device = self._loaded
        pictures = [Image.open(io.BytesIO(jpeg)).convert("RGB") for jpeg in ask.pictures]
        content = [*({"type": "image"} for _ in pictures), {"type": "text", "text": ask.text}]
        prompt = processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        try:
            inputs = processor(text=[prompt], images=pictures or None, return_tensors="pt").to(device)
        except ValueError as error:
            # Such as a chat template that has no place for pictures.
            reason = " ".join(str(error).split())[:300]
            raise ModelError(f"teachers.local.model: {self.name}: its processor refuses ({reason})") from error
        width = inputs["input_ids"].shape[1]
        sampling: dict[str, Any] = {"do_sample": False}
        if self._config.temperature > 0:
            sampling = {"do_sample": True, "temperature": self._config.temperature, "top_k": 0}
        try:
            # A generator of its own: nobody else's numbers move.
            with torch.random.fork_rng(), torch.inference_mode():
                torch.manual_seed(ask.seed + attempt)
                made = model.generate(**inputs, max_new_tokens=self._config.max_tokens, **sampling)[0, width:]
        except torch.OutOfMemoryError as error:
            raise ModelError(f"teachers.local: {self.name}: out of memory on {device} ({error})") from error
        ended = len(made) < self._config.max_tokens
        text = processor.decode(made, skip_special_tokens=True)
        return Completion(text=text, stop="said" if ended else "truncated", tokens_in=int(width), tokens_out=len(made))

    @cached_property
    def _loaded(self) -> tuple[Any, Any, str]:
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        config = self._config
        device = config.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        given: dict[str, Any] = {"revision": config.revision} if config.revision else {}
        try:
            processor: Any = AutoProcessor.from_pretrained(config.model, **given)
            model: Any = AutoModelForImageTextToText.from_pretrained(config.model, dtype=config.dtype, **given)
        except (OSError, ValueError, ImportError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ModelError(f"teachers.local.model: {config.model}: cannot be loaded ({reason})") from error
        return processor, model.to(device).eval(), device


def _folder_digest(folder: Path) -> str:
    """Twelve hex digits over names and sizes of a folder's files, and over all of the small and the ends of the large.

    Weights of many gigabytes are not read whole: what was trained differs everywhere.
    """
    digest = hashlib.blake2b(digest_size=6)
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode())
        with path.open("rb") as file:
            digest.update(file.read(_SMALL))
            file.seek(max(0, size - _SMALL))
            digest.update(file.read(_SMALL))
    return digest.hexdigest()
