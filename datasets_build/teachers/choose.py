"""Opening the model that a setting names, and the folder of its answers."""

from __future__ import annotations

from pathlib import Path

import yaml

from datasets_build.core.files import write_bytes
from datasets_build.core.layout import ANSWERS, TEACHERS
from datasets_build.teachers.interview import Tally
from datasets_build.teachers.local import LocalModel
from datasets_build.teachers.model import Model, ModelError
from datasets_build.teachers.reword import ModelTeacher
from datasets_build.teachers.settings import ModelName, TeachersConfig
from datasets_build.teachers.template import load_template


def open_model(name: ModelName, config: TeachersConfig) -> Model:
    """The model, without a word to it yet.

    Raises:
        ModelError: it is not named, or its package is not installed.
    """
    if name == "local":
        return LocalModel(config.local)
    try:
        # An extra of its own: whoever asks no server needs no client.
        from datasets_build.teachers.chat import ChatModel
    except ModuleNotFoundError as error:
        raise ModelError(f"teacher chat: {error}; install it with `pip install 'streamvl[teachers]'`") from error
    return ChatModel(config.chat)


def open_teacher(name: ModelName, config: TeachersConfig) -> ModelTeacher:
    """The teacher that has a model reword what the template says. Raises as `open_model` does."""
    return ModelTeacher(
        load_template(), open_model(name, config), config.variants, config.room, attempts=config.attempts
    )


def cache_folder(out: Path, config: TeachersConfig) -> Path:
    """Where answers are kept for a build into `out`."""
    return Path(config.cache).expanduser() if config.cache else out / ANSWERS


def keep_settings(out: Path, config: TeachersConfig) -> None:
    """Write the settings of the models beside what they worded, so that it can be built again; no key is among them."""
    content = {"teachers": config.model_dump(mode="json")}
    write_bytes(out / TEACHERS, yaml.safe_dump(content, allow_unicode=True, sort_keys=False).encode())


def spent(tally: Tally, name: str, config: TeachersConfig) -> dict[str, int]:
    """What a manifest says of the questions; the cost is in millionths of the currency that the prices are in."""
    prices = config.chat if name == "chat" else None
    cost = (tally.tokens_in * prices.price_in + tally.tokens_out * prices.price_out) if prices else 0.0
    return {
        "teacher_questions": tally.asked,
        "teacher_unanswered": tally.refused,
        "teacher_tokens_in": tally.tokens_in,
        "teacher_tokens_out": tally.tokens_out,
        "teacher_cost_millionths": round(cost),
    }


def refuse_silence(tally: Tally, name: str, config: TeachersConfig) -> None:
    """Raise ModelError where too many questions got no answer of the right form; nothing may be published then."""
    if tally.refused > config.max_unanswered * tally.asked:
        raise ModelError(
            f"teacher {name}: {tally.refused} of {tally.asked} questions got no answer of the right form "
            f"(the first: {tally.first_reason}), more than teachers.max_unanswered = {config.max_unanswered:g}; "
            "answers are kept: delete those of the cache that shall be asked anew"
        )
