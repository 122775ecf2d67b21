"""The few Chinese words whose truth is checked word by word: colours, shapes and quarters of the picture."""

from __future__ import annotations

from collections.abc import Mapping

ENGLISH: Mapping[str, str] = {
    "红色": "red",
    "橙色": "orange",
    "黄色": "yellow",
    "绿色": "green",
    "蓝色": "blue",
    "紫色": "purple",
    "粉色": "pink",
    "白色": "white",
    "圆形": "circle",
    "正方形": "square",
    "三角形": "triangle",
    "五角星": "star",
    "菱形": "diamond",
    "十字形": "cross",
    "左上方": "top left",
    "右上方": "top right",
    "左下方": "bottom left",
    "右下方": "bottom right",
}


def in_english(text: str) -> str:
    """A text in lower case with these words in English; all else as it is."""
    for word, english in ENGLISH.items():
        text = text.replace(word, f" {english} ")
    return text.casefold()
