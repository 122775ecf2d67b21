"""What Label Studio 1.23.2 sent when people (a script in Chromium) had worked in the three screens, and on what.

The clip has 1198 frames at 30000/1001; see `EVENTS`, `QA` and `DIALOGUE` for the items. Frames are from 1.
"""

from __future__ import annotations

import json

from annotate.tasks import Mark, Question, Said, Sheet
from tests.annotate.screens.windows import NTSC, constant, item_of, window_of

CLOCK = constant(NTSC, 1198)
WINDOW = window_of(CLOCK, NTSC)
LABELS = (
    "approach",
    "put down",
    "a \"quoted\" & <b>label</b> 'x'",
    "ünï → ok",
    "$price",
    "costs $price",
    "100%",
    "a,b",
    "{{idx}}",
)
MANY = tuple(f"label {place} of many" for place in range(100))


def at(frame: int) -> int:
    """When a source frame, from 0, comes on."""
    return CLOCK.time_of(frame)


def _mark(id_: str, label: str, start: int, end: int) -> Mark:
    return Mark(id=id_, label=label, start_ns=at(start), end_ns=at(end))


EVENTS = item_of(
    WINDOW,
    Sheet(
        kind="events",
        marks=(
            *(_mark(f"e{i:019d}", label, 25 + 60 * i, 100 + 60 * i) for i, label in enumerate(LABELS)),
            Mark(
                id="point00000000000000",
                label="approach",
                start_ns=at(300),
                end_ns=at(300),
                is_point=True,
                note="a note",
                confidence="unsure",
            ),
            Mark(id="cut000", label="put down", start_ns=at(1100), end_ns=CLOCK.end_ns + 10**9),
        ),
    ),
)
DRAWN = item_of(
    WINDOW,
    Sheet(
        kind="events",
        marks=tuple(_mark(f"m{i}", MANY[7 * i], 25 + 60 * i, 100 + 60 * i) for i in range(3)),
    ),
)
QA = item_of(
    WINDOW,
    Sheet(
        kind="qa",
        questions=tuple(
            Question(
                id=f"q{i}",
                question='What does the $5 {{idx}} person do <b>now</b> & "then"?',
                ask_ns=at(40 + 200 * i),
                answer="puts it down",
                answer_ns=at(90 + 200 * i),
            )
            for i in range(5)
        ),
    ),
)
_TURNS = (
    "Tell me when the square turns & <i>stops</i>.",
    "Now it turns, $quickly.",
    "And then?",
    "It stops at the edge.",
    "Thanks.",
    "Now.",
)
DIALOGUE = item_of(
    WINDOW,
    Sheet(
        kind="dialogue",
        turns=tuple(
            Said(
                id=f"t{i}",
                role="assistant" if i % 2 else "user",
                start_ns=at(70 * i),
                end_ns=at(70 * i + 50),
                text=text,
            )
            for i, text in enumerate(_TURNS)
        ),
    ),
)

# Submitted as it came.
EVENTS_UNTOUCHED = json.loads(r"""[
  {"value": {"ranges": [{"start": 26, "end": 100}], "timelinelabels": ["approach"]},
   "id": "e0000000000000000000", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "prediction"},
  {"value": {"ranges": [{"start": 86, "end": 160}], "timelinelabels": ["put down"]},
   "id": "e0000000000000000001", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "prediction"},
  {"value": {"ranges": [{"start": 146, "end": 220}], "timelinelabels": ["a \"quoted\" & <b>label</b> 'x'"]},
   "id": "e0000000000000000002", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "prediction"},
  {"value": {"ranges": [{"start": 206, "end": 280}], "timelinelabels": ["\u00fcn\u00ef \u2192 ok"]},
   "id": "e0000000000000000003", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "prediction"},
  {"value": {"ranges": [{"start": 266, "end": 340}], "timelinelabels": ["$\u2060price"]},
   "id": "e0000000000000000004", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "prediction"},
  {"value": {"ranges": [{"start": 326, "end": 400}], "timelinelabels": ["costs $\u2060price"]},
   "id": "e0000000000000000005", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "prediction"},
  {"value": {"ranges": [{"start": 386, "end": 460}], "timelinelabels": ["100%"]},
   "id": "e0000000000000000006", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "prediction"},
  {"value": {"ranges": [{"start": 446, "end": 520}], "timelinelabels": ["a,b"]},
   "id": "e0000000000000000007", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "prediction"},
  {"value": {"ranges": [{"start": 506, "end": 580}], "timelinelabels": ["{{idx}}"]},
   "id": "e0000000000000000008", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "prediction"},
  {"value": {"ranges": [{"start": 301, "end": 301}], "timelinelabels": ["approach"]},
   "id": "point00000000000000", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "prediction"},
  {"value": {"ranges": [{"start": 301, "end": 301}], "text": ["a note"]},
   "id": "point00000000000000", "from_name": "note",
   "to_name": "video", "type": "textarea", "origin": "prediction"},
  {"value": {"ranges": [{"start": 301, "end": 301}], "choices": ["unsure"]},
   "id": "point00000000000000", "from_name": "confidence",
   "to_name": "video", "type": "choices", "origin": "prediction"},
  {"value": {"ranges": [{"start": 1101, "end": 1198}], "timelinelabels": ["put down"]},
   "id": "cut000", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "prediction"}
]""")

# The first bar to frame 130, unsure, with a note; the third and sixth got other labels, the sixth a note that
# was typed and not entered; the fourth deleted.
EVENTS_EDITED = json.loads(r"""[
  {"value": {"ranges": [{"start": 26, "end": 130}], "timelinelabels": ["approach"]},
   "id": "e0000000000000000000", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "prediction-changed"},
  {"value": {"ranges": [{"start": 26, "end": 130}], "choices": ["unsure"]},
   "id": "e0000000000000000000", "from_name": "confidence",
   "to_name": "video", "type": "choices", "origin": "prediction-changed"},
  {"value": {"ranges": [{"start": 26, "end": 130}], "text": ["hand is hidden & \"dark\""]},
   "id": "e0000000000000000000", "from_name": "note",
   "to_name": "video", "type": "textarea", "origin": "prediction-changed"},
  {"value": {"ranges": [{"start": 86, "end": 160}], "timelinelabels": ["put down"]},
   "id": "e0000000000000000001", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "prediction"},
  {"value": {"ranges": [{"start": 146, "end": 220}], "timelinelabels": ["100%"]},
   "id": "e0000000000000000002", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "prediction-changed"},
  {"value": {"ranges": [{"start": 266, "end": 340}], "timelinelabels": ["$\u2060price"]},
   "id": "e0000000000000000004", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "prediction"},
  {"value": {"ranges": [{"start": 326, "end": 400}], "timelinelabels": ["a,b"]},
   "id": "e0000000000000000005", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "prediction-changed"},
  {"value": {"ranges": [{"start": 326, "end": 400}], "text": ["typed but not added"]},
   "id": "e0000000000000000005", "from_name": "note",
   "to_name": "video", "type": "textarea", "origin": "prediction-changed"},
  {"value": {"ranges": [{"start": 386, "end": 460}], "timelinelabels": ["100%"]},
   "id": "e0000000000000000006", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "prediction"},
  {"value": {"ranges": [{"start": 446, "end": 520}], "timelinelabels": ["a,b"]},
   "id": "e0000000000000000007", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "prediction"},
  {"value": {"ranges": [{"start": 506, "end": 580}], "timelinelabels": ["{{idx}}"]},
   "id": "e0000000000000000008", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "prediction"},
  {"value": {"ranges": [{"start": 301, "end": 301}], "timelinelabels": ["approach"]},
   "id": "point00000000000000", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "prediction"},
  {"value": {"ranges": [{"start": 301, "end": 301}], "text": ["a note"]},
   "id": "point00000000000000", "from_name": "note",
   "to_name": "video", "type": "textarea", "origin": "prediction"},
  {"value": {"ranges": [{"start": 301, "end": 301}], "choices": ["unsure"]},
   "id": "point00000000000000", "from_name": "confidence",
   "to_name": "video", "type": "choices", "origin": "prediction"},
  {"value": {"ranges": [{"start": 1101, "end": 1198}], "timelinelabels": ["put down"]},
   "id": "cut000", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "prediction"}
]""")

# The first bar's left end dragged; two new bars of one frame: typed in, and drawn by a short drag; not usable.
EVENTS_DRAWN = json.loads(r"""[
  {"value": {"ranges": [{"start": 19, "end": 100}], "timelinelabels": ["label 0 of many"]},
   "id": "m0", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "prediction"},
  {"value": {"ranges": [{"start": 86, "end": 160}], "timelinelabels": ["label 7 of many"]},
   "id": "m1", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "prediction"},
  {"value": {"ranges": [{"start": 146, "end": 220}], "timelinelabels": ["label 14 of many"]},
   "id": "m2", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "prediction"},
  {"value": {"ranges": [{"start": 6, "end": 6}], "timelinelabels": ["label 3 of many"]},
   "id": "7HNKsnDeHy", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "manual"},
  {"value": {"ranges": [{"start": 21, "end": 21}], "timelinelabels": ["label 5 of many"]},
   "id": "G36gOxXRwC", "from_name": "events",
   "to_name": "video", "type": "timelinelabels", "origin": "manual"},
  {"value": {"choices": ["not usable"]},
   "id": "YmTs55KBn_", "from_name": "clip",
   "to_name": "video", "type": "choices", "origin": "manual"}
]""")

# Accepted with four stars; fixed in text and frames; rejected; accepted after a fix that was begun; fixed in one frame.
QA_EDITED = json.loads(r"""[
  {"value": {"number": 41},
   "id": "q0-ask_frame", "from_name": "ask_frame_0",
   "to_name": "question_0", "type": "number", "origin": "prediction"},
  {"value": {"number": 91},
   "id": "q0-answer_frame", "from_name": "answer_frame_0",
   "to_name": "question_0", "type": "number", "origin": "prediction"},
  {"value": {"number": 250},
   "id": "q1-ask_frame", "from_name": "ask_frame_1",
   "to_name": "question_1", "type": "number", "origin": "prediction-changed"},
  {"value": {"number": 300},
   "id": "q1-answer_frame", "from_name": "answer_frame_1",
   "to_name": "question_1", "type": "number", "origin": "prediction-changed"},
  {"value": {"text": ["lifts <it> & \"waits\""]},
   "id": "q1-answer", "from_name": "answer_1",
   "to_name": "question_1", "type": "textarea", "origin": "prediction-changed"},
  {"value": {"number": 441},
   "id": "q2-ask_frame", "from_name": "ask_frame_2",
   "to_name": "question_2", "type": "number", "origin": "prediction"},
  {"value": {"number": 491},
   "id": "q2-answer_frame", "from_name": "answer_frame_2",
   "to_name": "question_2", "type": "number", "origin": "prediction"},
  {"value": {"number": 1000},
   "id": "q3-ask_frame", "from_name": "ask_frame_3",
   "to_name": "question_3", "type": "number", "origin": "prediction-changed"},
  {"value": {"number": 691},
   "id": "q3-answer_frame", "from_name": "answer_frame_3",
   "to_name": "question_3", "type": "number", "origin": "prediction"},
  {"value": {"number": 841},
   "id": "q4-ask_frame", "from_name": "ask_frame_4",
   "to_name": "question_4", "type": "number", "origin": "prediction"},
  {"value": {"number": 900},
   "id": "q4-answer_frame", "from_name": "answer_frame_4",
   "to_name": "question_4", "type": "number", "origin": "prediction-changed"},
  {"value": {"text": ["puts it down"]},
   "id": "q4-answer", "from_name": "answer_4",
   "to_name": "question_4", "type": "textarea", "origin": "prediction"},
  {"value": {"choices": ["accept"]},
   "id": "KXjk2KNn6K", "from_name": "verdict_0",
   "to_name": "question_0", "type": "choices", "origin": "manual"},
  {"value": {"rating": 4},
   "id": "M6xweIcnZ2", "from_name": "quality_0",
   "to_name": "question_0", "type": "rating", "origin": "manual"},
  {"value": {"choices": ["fix"]},
   "id": "C9TwHYbhZf", "from_name": "verdict_1",
   "to_name": "question_1", "type": "choices", "origin": "manual"},
  {"value": {"choices": ["reject"]},
   "id": "zcgBPwdFdP", "from_name": "verdict_2",
   "to_name": "question_2", "type": "choices", "origin": "manual"},
  {"value": {"choices": ["accept"]},
   "id": "UePEtFhqJN", "from_name": "verdict_3",
   "to_name": "question_3", "type": "choices", "origin": "manual"},
  {"value": {"choices": ["fix"]},
   "id": "SqySSvcklH", "from_name": "verdict_4",
   "to_name": "question_4", "type": "choices", "origin": "manual"}
]""")

# One verdict, then the clip was found not usable.
QA_NOT_USABLE = json.loads(r"""[
  {"value": {"number": 41},
   "id": "q0-ask_frame", "from_name": "ask_frame_0",
   "to_name": "question_0", "type": "number", "origin": "prediction"},
  {"value": {"number": 91},
   "id": "q0-answer_frame", "from_name": "answer_frame_0",
   "to_name": "question_0", "type": "number", "origin": "prediction"},
  {"value": {"number": 241},
   "id": "q1-ask_frame", "from_name": "ask_frame_1",
   "to_name": "question_1", "type": "number", "origin": "prediction"},
  {"value": {"number": 291},
   "id": "q1-answer_frame", "from_name": "answer_frame_1",
   "to_name": "question_1", "type": "number", "origin": "prediction"},
  {"value": {"number": 441},
   "id": "q2-ask_frame", "from_name": "ask_frame_2",
   "to_name": "question_2", "type": "number", "origin": "prediction"},
  {"value": {"number": 491},
   "id": "q2-answer_frame", "from_name": "answer_frame_2",
   "to_name": "question_2", "type": "number", "origin": "prediction"},
  {"value": {"number": 641},
   "id": "q3-ask_frame", "from_name": "ask_frame_3",
   "to_name": "question_3", "type": "number", "origin": "prediction"},
  {"value": {"number": 691},
   "id": "q3-answer_frame", "from_name": "answer_frame_3",
   "to_name": "question_3", "type": "number", "origin": "prediction"},
  {"value": {"number": 841},
   "id": "q4-ask_frame", "from_name": "ask_frame_4",
   "to_name": "question_4", "type": "number", "origin": "prediction"},
  {"value": {"number": 891},
   "id": "q4-answer_frame", "from_name": "answer_frame_4",
   "to_name": "question_4", "type": "number", "origin": "prediction"},
  {"value": {"choices": ["accept"]},
   "id": "F-c-QY9xUe", "from_name": "verdict_0",
   "to_name": "question_0", "type": "choices", "origin": "manual"},
  {"value": {"choices": ["not usable"]},
   "id": "6ms1fOV91Q", "from_name": "clip",
   "to_name": "video", "type": "choices", "origin": "manual"}
]""")

# Turns accepted, the second fixed and too late, the fourth too early, the fifth rejected; of the third a complaint
# was chosen and taken back.
DIALOGUE_EDITED = json.loads(r"""[
  {"value": {"text": ["Now it turns slowly."]},
   "id": "t1-text", "from_name": "text_1",
   "to_name": "turn_1", "type": "textarea", "origin": "prediction-changed"},
  {"value": {"choices": ["accept"]},
   "id": "0NresXE0VY", "from_name": "verdict_0",
   "to_name": "turn_0", "type": "choices", "origin": "manual"},
  {"value": {"choices": ["fix"]},
   "id": "NNeUqQ3KFB", "from_name": "verdict_1",
   "to_name": "turn_1", "type": "choices", "origin": "manual"},
  {"value": {"choices": ["accept"]},
   "id": "dV-2EZLthn", "from_name": "verdict_2",
   "to_name": "turn_2", "type": "choices", "origin": "manual"},
  {"value": {"choices": ["accept"]},
   "id": "IrD_b8G3P3", "from_name": "verdict_3",
   "to_name": "turn_3", "type": "choices", "origin": "manual"},
  {"value": {"choices": ["reject"]},
   "id": "E6RjLawFFa", "from_name": "verdict_4",
   "to_name": "turn_4", "type": "choices", "origin": "manual"},
  {"value": {"choices": ["accept"]},
   "id": "SQKcoF0E0N", "from_name": "verdict_5",
   "to_name": "turn_5", "type": "choices", "origin": "manual"},
  {"value": {"choices": ["too late"]},
   "id": "RyVlw6K1pP", "from_name": "timing_1",
   "to_name": "turn_1", "type": "choices", "origin": "manual"},
  {"value": {"choices": ["too early"]},
   "id": "svbGj6GxVb", "from_name": "timing_3",
   "to_name": "turn_3", "type": "choices", "origin": "manual"}
]""")

# One verdict, then the clip was found not usable.
DIALOGUE_NOT_USABLE = json.loads(r"""[
  {"value": {"choices": ["accept"]},
   "id": "M5RnBHePlE", "from_name": "verdict_0",
   "to_name": "turn_0", "type": "choices", "origin": "manual"},
  {"value": {"choices": ["not usable"]},
   "id": "L1uPHUmO10", "from_name": "clip",
   "to_name": "video", "type": "choices", "origin": "manual"}
]""")
