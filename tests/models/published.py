"""What the released code of 'Speak While Watching' computes, told anew as an oracle, with lists and no project code.

Source: github.com/EIT-NLP/Speak-While-Watching, commit de4de19: position ids of training (`lmm_dataset.py`), the group
mask of training (`causal_mask.py`), frame-wise generation of the interleaved layout (`evaluation/qwen2_vl/model.py`).
One conversation: system prompt, one user turn of a question and a clip of equal frames, one answer.
"""

from dataclasses import dataclass

GROUP = 3  # answer tokens a frame
HEADER = 3  # <|im_start|>assistant\n
CLOSING = 3  # <|vision_end|><|im_end|>\n
TICKS = 2  # temporal positions a frame: 2 a second, a frame a second


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """Counts of tokens; `question` ends with <|vision_start|>, `answer` is all behind the header."""

    system: int
    question: int
    frames: int
    height: int
    width: int
    answer: int

    @property
    def area(self):
        return self.height * self.width

    @property
    def video_start(self):
        return self.system + self.question

    @property
    def header_start(self):
        return self.video_start + self.frames * self.area + CLOSING

    @property
    def answer_start(self):
        return self.header_start + HEADER

    @property
    def length(self):
        return self.answer_start + self.answer

    def frame(self, index):
        """Sequence indices of a frame; the closing tokens belong to none."""
        start = self.video_start + index * self.area
        return range(start, start + self.area)

    def group_of(self, answer_index):
        """Each frame has its group of answer tokens; the last one takes the rest."""
        return min(answer_index // GROUP, self.frames - 1)


def grid(conversation, base, ticks):
    return [
        (base + ticks, base + row, base + column)
        for row in range(conversation.height)
        for column in range(conversation.width)
    ]


def run(start, count):
    return [(start + step,) * 3 for step in range(count)]


def behind(ids):
    return max(max(triple) for triple in ids) + 1


def training_ids(conversation, variant):
    """Ids (length, 3) in training: origin and overlap go on, batch and group restart at 0, gap at 10000."""
    ids = run(0, conversation.video_start)
    base = behind(ids)
    for index in range(conversation.frames):
        ids += grid(conversation, base, TICKS * index)
    ids += run(behind(ids), CLOSING)
    start = {"batch": 0, "group": 0, "gap": 10_000}.get(variant, behind(ids))
    return ids + run(start, HEADER + conversation.answer)


def group_mask(conversation):
    """Visibility (length, length) of the group mask in training, the shift of its rows included."""
    talk = conversation
    seen = [[key <= query for key in range(talk.length)] for query in range(talk.length)]
    before_video = set(range(talk.video_start))
    for index in range(talk.answer):
        group = talk.group_of(index)
        allowed = before_video | {key for frame in range(group + 1) for key in talk.frame(frame)}
        if group == talk.frames - 1:
            allowed |= set(range(talk.header_start - CLOSING, talk.header_start))
        allowed |= set(range(talk.header_start, talk.answer_start + index + 1))
        seen[talk.answer_start + index] = [key in allowed for key in range(talk.length)]
    for row in range(talk.header_start, talk.answer_start):
        for key in range(talk.frame(1).start, talk.header_start):
            seen[row][key] = False
    for row in range(talk.answer_start, talk.length - 1):
        seen[row][: talk.header_start] = seen[row + 1][: talk.header_start]
    return seen


def interleaved_ids(conversation):
    """Ids of frame-wise generation: question, frame 0, header, answer 0, frame 1, answer 1, …"""
    talk = conversation
    ids = run(0, talk.video_start)
    ids += grid(talk, behind(ids), 0)
    ids += run(behind(ids), HEADER)
    for frame in range(talk.frames):
        if frame:
            ids += grid(talk, behind(ids), TICKS * frame)
        if frame == talk.frames - 1:
            ids += run(behind(ids), CLOSING)
            ids += run(behind(ids), talk.answer - GROUP * (talk.frames - 1))
        else:
            ids += run(behind(ids), GROUP)
    return ids
